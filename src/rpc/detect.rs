use super::limits::{Limits, Refusal};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// With a version, as every client has written it since 2010.
    Binary,
    /// Without one: "non-strict".
    OldBinary,
    Compact,
}

/// How a client writes. Told once a connection, by its first bytes; its
/// replies go out in the same form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) framed: bool,
    pub(super) encoding: Encoding,
}

pub(super) const BINARY_VERSION: [u8; 2] = [0x80, 0x01];
pub(super) const COMPACT_ID: u8 = 0x82;
/// The lower five bits of a compact message's second byte.
pub(super) const COMPACT_VERSION: u8 = 1;

/// Longer names are no reason to take ASCII text for a message.
const MAX_OLD_NAME_BYTES: u32 = 128;

/// None: too few bytes yet. Six always suffice.
pub(super) fn detect(bytes: &[u8], limits: &Limits) -> Result<Option<Form>, Refusal> {
    let form = |framed, encoding| Ok(Some(Form { framed, encoding }));
    match bytes {
        [] | [_] => return Ok(None),
        [0x80, 0x01, ..] => return form(false, Encoding::Binary),
        [0x80, ..] => return Err(Refusal::BinaryVersion),
        [COMPACT_ID, second, ..] if is_compact(*second) => return form(false, Encoding::Compact),
        [COMPACT_ID, ..] => return Err(Refusal::CompactVersion),
        [0x81..=0xff, ..] => return Err(Refusal::UnknownProtocol),
        [0x16, 0x03, ..] => return Err(Refusal::Tls),
        _ => {}
    }
    let Some((length, inner)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    if length.iter().all(|b| b.is_ascii_uppercase() || b" /*".contains(b)) {
        return Err(Refusal::Http);
    }
    let length = u32::from_be_bytes(*length);
    if length as usize > limits.message {
        return Err(Refusal::FrameTooLong(length));
    }
    if length == 0 {
        return Err(Refusal::EmptyFrame);
    }
    let old = |framed| {
        if limits.non_strict { form(framed, Encoding::OldBinary) } else { Err(Refusal::NonStrict) }
    };
    match inner {
        [] | [_] => Ok(None),
        [0x80, 0x01, ..] => form(true, Encoding::Binary),
        [COMPACT_ID, second, ..] if is_compact(*second) => form(true, Encoding::Compact),
        [0x0f, ..] => Err(Refusal::THeader),
        [letter, ..] if letter.is_ascii_alphabetic() && length <= MAX_OLD_NAME_BYTES => old(false),
        [0, 0, ..] => old(true),
        _ => Err(Refusal::UnknownProtocol),
    }
}

fn is_compact(second: u8) -> bool {
    second & 0x1f == COMPACT_VERSION
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8], non_strict: bool) -> Result<Form, Refusal> {
        let limits = Limits { non_strict, ..Limits::default() };
        for len in 0..bytes.len() {
            match detect(&bytes[..len], &limits) {
                Ok(None) => {}
                early => assert_eq!(early, detect(bytes, &limits), "{:02x?}", &bytes[..len]),
            }
        }
        detect(bytes, &limits).map(Option::unwrap)
    }

    #[test]
    fn clients_are_told_by_their_first_bytes() {
        let form = |framed, encoding| Ok(Form { framed, encoding });
        for (bytes, expected) in [
            (&[0x80, 1, 0, 1, 0, 0][..], form(false, Encoding::Binary)),
            (&[0x82, 0x21, 1, 1, 0, 0], form(false, Encoding::Compact)),
            (&[0, 0, 0, 0x28, 0x80, 1], form(true, Encoding::Binary)),
            (&[0, 0, 0, 0x16, 0x82, 0x21], form(true, Encoding::Compact)),
        ] {
            assert_eq!(told(bytes, false), expected);
            assert_eq!(told(bytes, true), expected);
        }
        for (bytes, framed) in
            [(&[0, 0, 0, 0x0b, b'g', b'e'], false), (&[0, 0, 0, 0x28, 0, 0], true)]
        {
            assert_eq!(told(bytes, true), form(framed, Encoding::OldBinary));
            assert_eq!(told(bytes, false), Err(Refusal::NonStrict));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for (bytes, refusal) in [
            (&b"GET / "[..], Refusal::Http),
            (b"POST /", Refusal::Http),
            (b"PRI * ", Refusal::Http),
            (&[0x16, 3, 1, 2, 0, 1], Refusal::Tls),
            (&[0x80, 2, 0, 1, 0, 0], Refusal::BinaryVersion),
            (&[0x82, 2, 0, 1, 0, 0], Refusal::CompactVersion),
            (&[0x81, 1, 0, 1, 0, 0], Refusal::UnknownProtocol),
            (&[0x7f, 0xff, 0xff, 0xff, 0x80, 1], Refusal::FrameTooLong(0x7fff_ffff)),
            (&[0, 0, 0, 0, 0x80, 1], Refusal::EmptyFrame),
            (&[0, 0, 0, 9, 0x0f, 0xff], Refusal::THeader),
            (&[0, 0, 0, 9, 0x80, 2], Refusal::UnknownProtocol),
            (&[0, 0, 1, 0, b'g', b'e'], Refusal::UnknownProtocol),
        ] {
            assert_eq!(told(bytes, true), Err(refusal));
        }
    }
}

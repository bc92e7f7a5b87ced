use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::call::Method;
use super::super::decode::decode;
use super::super::samples::{call, calls, forms, hosts};
use super::*;

fn scan(form: Form, bytes: &[u8]) -> Result<Option<Found>, Refusal> {
    Scan::new(form).advance(bytes, &Limits::default())
}

/// The outcome of a scan that gets one byte more each time.
fn scan_bytewise(form: Form, bytes: &[u8]) -> Result<Option<Found>, Refusal> {
    let mut scan = Scan::new(form);
    for end in 0..bytes.len() {
        match scan.advance(&bytes[..end], &Limits::default()) {
            Ok(None) => {}
            done => return done,
        }
    }
    scan.advance(bytes, &Limits::default())
}

#[test]
fn the_end_is_found_where_it_is() {
    for form in forms() {
        for (name, bytes) in calls(form) {
            let found = scan(form, &bytes).unwrap().unwrap();
            assert_eq!(found.end, bytes.len(), "{form:?} {name}");
            assert_eq!(&bytes[found.header.name.clone()], name.as_bytes());
            assert_eq!((found.header.oneway, found.header.sequence), (false, 1));

            assert_eq!(scan_bytewise(form, &bytes).unwrap().unwrap(), found);
            for cut in 0..bytes.len() {
                assert_eq!(scan(form, &bytes[..cut]).unwrap(), None, "{form:?} {name} {cut}");
            }
            let two = [&bytes[..], &bytes[..]].concat();
            assert_eq!(scan(form, &two).unwrap().unwrap(), found);

            let method = Method::named(name).unwrap();
            let arguments = &bytes[found.header.arguments..];
            decode(method, form.encoding, arguments, &Limits::default()).unwrap();
        }
    }
}

const BINARY: Form = Form { framed: false, encoding: Encoding::Binary };
const COMPACT: Form = Form { framed: false, encoding: Encoding::Compact };

fn binary(arguments: &[u8]) -> Vec<u8> {
    [b"\x80\x01\x00\x01\0\0\0\x01x\0\0\0\x07", arguments].concat()
}

fn compact(arguments: &[u8]) -> Vec<u8> {
    [b"\x82\x21\x07\x01x", arguments].concat()
}

#[test]
fn what_is_claimed_is_checked_before_it_comes() {
    for (arguments, refusal) in [
        (&b"\x0f\0\x01\x0c\x7f\xff\xff\xff"[..], Refusal::ContainerTooLarge(0x7fff_ffff)),
        (b"\x0f\0\x01\x0c\x05\x5d\x4a\x80", Refusal::ContainerTooLarge(90_000_000)),
        (b"\x0f\0\x01\x0c\xff\xff\xff\xff", Refusal::NegativeSize),
        (b"\x0e\0\x01\x03\x00\x03\x0d\x41", Refusal::ContainerTooLarge(200_001)),
        (b"\x0d\0\x01\x0b\x0b\x00\x03\x0d\x41", Refusal::ContainerTooLarge(200_001)),
        (b"\x0b\0\x01\x7f\xff\xff\xff", Refusal::StringTooLong(0x7fff_ffff)),
        (b"\x0b\0\x01\x06\x40\0\0", Refusal::StringTooLong(100 << 20)),
        (b"\x0b\0\x01\xff\xff\xff\xff", Refusal::NegativeSize),
        (b"\x01\0\x01", Refusal::UnknownType(1)),
        (b"\x0f\0\x01\x01\0\0\0\x01", Refusal::UnknownType(1)),
        (&b"\x0c\0\x09".repeat(100_000), Refusal::TooDeep),
        (&[&b"\x0f\0\x09"[..], &b"\x0f\0\0\0\x01".repeat(100_000)].concat(), Refusal::TooDeep),
        (&[&b"\x0d\0\x09"[..], &b"\x0d\x0d\0\0\0\x01".repeat(100)].concat(), Refusal::TooDeep),
    ] {
        assert_eq!(scan(BINARY, &binary(arguments)), Err(refusal));
        assert_eq!(scan_bytewise(BINARY, &binary(arguments)), Err(refusal));
    }
    for (arguments, refusal) in [
        (&b"\x19\xfc\xff\xff\xff\xff\x07"[..], Refusal::ContainerTooLarge(0x7fff_ffff)),
        (b"\x19\xfc\xff\xff\xff\xff\x0f", Refusal::ContainerTooLarge(0xffff_ffff)),
        (b"\x1b\xff\xff\xff\xff\x07", Refusal::ContainerTooLarge(0x7fff_ffff)),
        (b"\x18\xff\xff\xff\xff\x07", Refusal::StringTooLong(0x7fff_ffff)),
        (b"\x18\xff\xff\xff\xff\xff", Refusal::EndlessNumber),
        (b"\x16\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Refusal::EndlessNumber),
        (b"\x1e", Refusal::UnknownType(14)),
        (b"\x19\x1f", Refusal::UnknownType(15)),
        (&b"\x1c".repeat(100_000), Refusal::TooDeep),
        (&[&b"\x19"[..], &b"\x19".repeat(100_000)].concat(), Refusal::TooDeep),
    ] {
        if matches!(refusal, Refusal::ContainerTooLarge(_)) && arguments[0] == 0x1b {
            // The types of a compact map follow its count.
            let whole = compact(&[arguments, b"\x88"].concat());
            assert_eq!(scan(COMPACT, &whole), Err(refusal));
            continue;
        }
        assert_eq!(scan(COMPACT, &compact(arguments)), Err(refusal));
        assert_eq!(scan_bytewise(COMPACT, &compact(arguments)), Err(refusal));
    }
}

#[test]
fn only_calls_pass() {
    for message_type in 0..=255 {
        let mut bytes = binary(b"\0");
        bytes[3] = message_type;
        match message_type {
            1 | 4 => {
                let found = scan(BINARY, &bytes).unwrap().unwrap();
                assert_eq!(found.header.oneway, message_type == 4);
            }
            other => assert_eq!(scan(BINARY, &bytes), Err(Refusal::NotACall(other))),
        }
    }
    assert_eq!(scan(COMPACT, b"\x82\x41\x07\x01x\0"), Err(Refusal::NotACall(2)));
    assert_eq!(scan(COMPACT, b"\x82\x22\x07\x01x\0"), Err(Refusal::CompactVersion));
    assert_eq!(scan(BINARY, b"\x80\x02\0\x01"), Err(Refusal::BinaryVersion));
    assert_eq!(
        scan(BINARY, b"\x80\x01\0\x01\x7f\xff\xff\xff"),
        Err(Refusal::NameTooLong(0x7fff_ffff))
    );
    assert_eq!(scan(BINARY, b"\x80\x01\0\x01\x80\0\0\0"), Err(Refusal::NegativeSize));
}

#[test]
fn a_frame_holds_one_message() {
    let framed = Form { framed: true, ..BINARY };
    let message = binary(b"\0");
    let frame = |length: usize| [&(length as u32).to_be_bytes()[..], &message, b"abc"].concat();
    assert_eq!(scan(framed, &frame(message.len())).unwrap().unwrap().end, 4 + message.len());
    for wrong in [message.len() - 1, message.len() + 1] {
        assert_eq!(scan(framed, &frame(wrong)), Err(Refusal::FrameMismatch));
    }
    assert_eq!(scan(framed, &frame(0)), Err(Refusal::EmptyFrame));
    assert_eq!(scan(framed, &frame(0x7fff_ffff)), Err(Refusal::FrameTooLong(0x7fff_ffff)));
}

#[test]
fn a_message_has_a_longest_length() {
    let limits = Limits { message: 1000, ..Limits::default() };
    let message = call(BINARY, |c| drop(c.set_hosts(hosts(100))));
    let mut scan = Scan::new(BINARY);
    assert_eq!(scan.advance(&message[..999], &limits), Ok(None));
    assert_eq!(scan.advance(&message, &limits), Err(Refusal::MessageTooLong));
}

#[test]
fn the_work_is_linear() {
    let time = |count| {
        let message = call(BINARY, |c| drop(c.set_hosts(hosts(count))));
        let run = || {
            let begin = Instant::now();
            scan_bytewise(BINARY, &message).unwrap().unwrap();
            begin.elapsed()
        };
        (0..3).map(|_| run()).min().unwrap_or(Duration::MAX)
    };
    let (small, large) = (time(250), time(250 * 32));
    assert!(large < small * 32 * 8, "{small:?} for a 32nd of what took {large:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// However a message is damaged: nothing panics, the pieces it comes in do
    /// not matter, and what passes is decoded or refused in order.
    #[test]
    fn damage_does_no_harm(
        form in 0..6_usize,
        which in 0..8_usize,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let form = forms().nth(form).unwrap();
        let mut bytes = calls(form).swap_remove(which).1;
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1).max(bytes.len() / 2));
        let whole = scan(form, &bytes);
        let pieces = scan_bytewise(form, &bytes);
        // A frame that ends early is seen when it is whole, and a message in
        // it may end before.
        if form.framed {
            prop_assert_eq!(whole.is_ok(), pieces.is_ok());
        } else {
            prop_assert_eq!(&whole, &pieces);
        }
        if let Ok(Some(found)) = whole {
            let name = String::from_utf8_lossy(&bytes[found.header.name.clone()]).into_owned();
            if let Some(method) = Method::named(&name) {
                let arguments = &bytes[found.header.arguments..found.end];
                // Both outcomes are right; it must only return.
                let _ = decode(method, form.encoding, arguments, &Limits::default());
            }
        }
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for form in forms() {
            let _ = scan(form, &bytes);
            let _ = scan_bytewise(form, &bytes);
        }
        for method in ["set_hosts", "get_metrics", "rollback", "query_metrics"] {
            let method = Method::named(method).unwrap();
            for encoding in [Encoding::Binary, Encoding::Compact] {
                let _ = decode(method, encoding, &bytes, &Limits::default());
            }
        }
    }
}

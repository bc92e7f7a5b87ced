//! For fuzzing only: the way of a message's bytes to a call.

use super::call::Method;
use super::config::Config;
use super::decode::decode;
use super::detect::detect;
use super::limits::Limits;
use super::scan::Scan;

/// What a connection sends, in every form that it may have. The first byte
/// says into which pieces the rest is cut.
pub fn connection(bytes: &[u8]) {
    let Some((pieces, bytes)) = bytes.split_first() else { return };
    for non_strict in [false, true] {
        let limits = Limits { non_strict, ..Limits::of(&Config::default()) };
        messages(bytes, usize::from(*pieces) + 1, &limits);
    }
}

fn messages(mut bytes: &[u8], piece: usize, limits: &Limits) {
    let Ok(Some(form)) = detect(bytes, limits) else { return };
    // A connection's later messages have the form of its first.
    while !bytes.is_empty() {
        let whole = Scan::new(form).advance(bytes, limits);
        let mut scan = Scan::new(form);
        let mut there = 0;
        let bit_by_bit = loop {
            there = (there + piece).min(bytes.len());
            match scan.advance(&bytes[..there], limits) {
                Ok(None) if there < bytes.len() => {}
                end => break end,
            }
        };
        // A frame that is not one message is refused for the one fault or the
        // other, by what is seen first.
        if form.framed {
            assert_eq!(whole.is_ok(), bit_by_bit.is_ok(), "it depends on how the bytes arrive");
        } else {
            assert_eq!(whole, bit_by_bit, "it depends on how the bytes arrive");
        }
        let Ok(Some(found)) = whole else { return };
        assert!(found.end <= bytes.len() && found.header.arguments <= found.end);
        let name = String::from_utf8_lossy(&bytes[found.header.name.clone()]);
        if let Some(method) = Method::named(&name) {
            let arguments = &bytes[found.header.arguments..found.end];
            drop(decode(method, form.encoding, arguments, limits));
        }
        bytes = &bytes[found.end..];
    }
}

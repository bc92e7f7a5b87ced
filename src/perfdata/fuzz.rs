//! For fuzzing only: the parser of lines, given any bytes.

use super::{Config, Parser, UnknownHosts};

/// Lines, with what no line may do: name a series of another host, or a value
/// or a path that cannot be sent.
pub fn lines(bytes: &[u8]) {
    let config = Config { unknown_hosts: UnknownHosts::Drop, ..Config::default() };
    let mut parser = Parser::new(&config);
    for line in bytes.split(|byte| *byte == b'\n') {
        let mut node = None;
        let asked = std::cell::RefCell::new(None);
        let is_live = |name: &str| {
            *asked.borrow_mut() = Some(name.to_owned());
            true
        };
        let mut samples = 0;
        let told = parser.line(line, is_live, |sample| {
            samples += 1;
            node.clone_from(&*asked.borrow());
            let path = sample.path();
            let inside = path.as_str().split('.').any(|part| Some(part) == node.as_deref());
            assert!(inside, "{path} is not of {node:?}");
            let clean = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
            assert!(path.as_bytes().len() <= 1024 && path.as_bytes().iter().all(|b| clean(*b)));
            assert!(sample.value().is_finite());
        });
        assert!(samples <= line.len());
        assert!(told.is_ok_and(|counts| counts.samples as usize == samples) || samples == 0);
    }
}

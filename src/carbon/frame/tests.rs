use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;
use crate::model::PathBuffer;

fn frame(protocol: Protocol, samples: &[(&str, &str, i64, f64)]) -> Vec<u8> {
    let mut framer = Framer::new(protocol);
    let mut paths = PathBuffer::default();
    for (host, label, time, value) in samples {
        paths.set_head(b"nagios", host.as_bytes(), b"load").unwrap();
        let path = paths.label(label.as_bytes(), false).unwrap();
        framer.push(&Sample::new(path, *time, *value).unwrap());
    }
    assert_eq!(framer.batch().points, samples.len());
    framer.batch().bytes.to_vec()
}

/// What Python's own unpickler makes of frames: the frame's number, path,
/// time, the value's 8 bytes in hexadecimal.
fn unpickle(frames: &[u8]) -> Vec<String> {
    const SCRIPT: &str = "\
import pickle, struct, sys
data, frame = sys.stdin.buffer.read(), 0
while data:
    size, = struct.unpack('>I', data[:4])
    assert size <= 1048576 and len(data) >= 4 + size
    points = pickle.loads(data[4:4 + size])
    assert type(points) is list and len(points) <= 1000
    for path, (time, value) in points:
        assert type(path) is str and type(time) is int and type(value) is float
        print(frame, path, time, struct.pack('>d', value).hex())
    data, frame = data[4 + size:], frame + 1
";
    let mut python = Command::new("python3")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(frames).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
}

#[test]
fn bytes_of_a_frame() {
    let bytes = frame(Protocol::Pickle, &[("h", "a", 1_767_225_600, 0.5)]);
    let mut expected = b"\x00\x00\x00\x29\x80\x02(".to_vec();
    expected.extend_from_slice(b"X\x0f\x00\x00\x00nagios.h.load.a");
    expected.extend_from_slice(b"J\x00\xb9\x55\x69G\x3f\xe0\x00\x00\x00\x00\x00\x00\x86\x86l.");
    assert_eq!(bytes.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

#[test]
fn python_reads_the_same_back() {
    let samples = [
        ("h", "a", 1, 0.0),
        ("h", "b", 1_767_225_600, -0.0),
        ("h", "c", i64::from(i32::MAX), f64::MAX),
        ("h", "d", i64::from(i32::MAX) + 1, f64::MIN_POSITIVE),
        ("h", "e", i64::from(u32::MAX), 5e-324),
        ("h", "f", 2_200_000_000, 0.1 + 0.2),
    ];
    let expected = samples
        .iter()
        .map(|(host, label, time, value)| {
            format!("0 nagios.{host}.load.{label} {time} {:016x}", value.to_bits())
        })
        .collect::<Vec<_>>();
    assert_eq!(unpickle(&frame(Protocol::Pickle, &samples)), expected);
}

#[test]
fn frames_are_bounded_in_points_and_bytes() {
    let many = (0..2500).map(|n| (n, format!("m{n}"))).collect::<Vec<_>>();
    let samples = many.iter().map(|(n, label)| ("h", &**label, 1 + n, 1.0)).collect::<Vec<_>>();
    let read = unpickle(&frame(Protocol::Pickle, &samples));
    assert_eq!(read.len(), 2500);
    assert_eq!(read.last().unwrap().split(' ').next(), Some("2"));

    // Paths of the greatest length: the bytes end a frame, not the points.
    let mut framer = Framer::new(Protocol::Pickle);
    let mut paths = PathBuffer::default();
    paths.set_head(vec!["x".repeat(109); 8].join(".").as_bytes(), b"h", b"").unwrap();
    for n in 0..3000 {
        let label = format!("{n:0>128}");
        let path = paths.label(label.as_bytes(), false).unwrap();
        framer.push(&Sample::new(path, 4_000_000_000, 1.0).unwrap());
    }
    let bytes = framer.batch().bytes;
    let first = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
    assert!(first > MAX_FRAME_BYTES - 1100 && first <= MAX_FRAME_BYTES, "{first}");
    assert_eq!(unpickle(bytes).len(), 3000);
}

#[test]
fn memory_is_used_again() {
    let mut framer = Framer::new(Protocol::Pickle);
    let mut paths = PathBuffer::default();
    paths.set_head(b"nagios", b"h", b"load").unwrap();
    let path = paths.label(b"a", false).unwrap();
    let sample = Sample::new(path, 1, 1.0).unwrap();
    assert!(framer.batch().bytes.is_empty());
    framer.push(&sample);
    let first = framer.batch().bytes.to_vec();
    framer.clear();
    assert_eq!(framer.points(), 0);
    framer.push(&sample);
    assert_eq!(framer.batch().bytes, first);
    // A batch may grow on after it was looked at.
    framer.push(&sample);
    assert_eq!(unpickle(framer.batch().bytes).len(), 2);
}

#[test]
fn plain_lines() {
    let samples =
        [("h", "a", 1_767_225_600, 0.5), ("h", "b", 4_000_000_000, 1e300), ("h", "c", 1, -3.0)];
    let text = String::from_utf8(frame(Protocol::Plaintext, &samples)).unwrap();
    assert_eq!(
        text,
        "nagios.h.load.a 0.5 1767225600\nnagios.h.load.b 1e300 4000000000\nnagios.h.load.c -3.0 1\n"
    );
}

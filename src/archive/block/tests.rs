use proptest::prelude::*;

use super::*;

/// By pco 1.1.
const GOLDEN: [u8; 57] = [
    2, 0, 0, 144, 0, 2, 4, 1, 16, 81, 2, 0, 59, 255, 255, 255, 255, 255, 255, 255, 7, 64, 37, 0, 0,
    0, 0, 0, 0, 128, 0, 0, 0, 0, 0, 0, 0, 0, 128, 13, 206, 0, 12, 20, 71, 7, 130, 161, 144, 199,
    210, 80, 130, 39, 178, 70, 32,
];

fn bits(points: impl Iterator<Item = Point>) -> Vec<(u16, u64)> {
    points.map(|(place, value)| (place, value.to_bits())).collect()
}

fn comes_back(points: &[Point]) -> Result<(), TestCaseError> {
    let mut decoder = Decoder::default();
    for bytes in [encode_day(points), encode_part(points)] {
        let read = bits(decoder.read(&bytes).map_err(|_| TestCaseError::fail("malformed"))?);
        prop_assert_eq!(read, bits(points.iter().copied()));
    }
    Ok(())
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-1_000_000_i64..1_000_000).prop_map(|whole| whole as f64 / 100.0),
        (0_i64..50).prop_map(|whole| whole as f64),
        any::<f64>().prop_filter("finite", |value| value.is_finite()),
        Just(-0.0),
    ]
}

fn points(slots: u16) -> impl Strategy<Value = Vec<Point>> {
    let few = proptest::collection::btree_map(0..slots, value(), 1..200);
    let dense = (0..slots / 2, proptest::collection::vec(value(), 1..usize::from(slots / 2)));
    prop_oneof![
        few.prop_map(|points| points.into_iter().collect()),
        dense.prop_map(|(first, values)| (first..).zip(values).collect()),
    ]
}

proptest! {
    #[test]
    fn days_of_ten_minutes_come_back(points in points(144)) {
        comes_back(&points)?;
    }

    #[test]
    fn days_of_ten_seconds_come_back(points in points(8_640)) {
        comes_back(&points)?;
    }

    #[test]
    fn any_bytes_are_survived_before_the_values(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        // What pco reads is behind a checksum.
        let mut bytes = bytes;
        if let Some(tag) = bytes.first_mut() {
            *tag &= !3;
        }
        if let Ok(points) = Decoder::default().read(&bytes) {
            prop_assert!(points.count() <= MAX_SLOTS);
        }
    }
}

#[test]
fn what_plugins_print_is_small() {
    let full = |value: &dyn Fn(u16) -> f64| (0..144).map(|at| (at, value(at))).collect::<Vec<_>>();
    let load = full(&|at| f64::from(at * 37 % 50) / 100.0);
    let constant = full(&|_| 0.0);
    assert!(encode_day(&constant).len() < 40, "{}", encode_day(&constant).len());
    assert!(encode_day(&load).len() < 150, "{}", encode_day(&load).len());
    assert_eq!(encode_day(&load)[0], DECIMALS);
    let noise =
        full(&|at| f64::from_bits(0x3FF0_0000_0000_0000 | (u64::from(at) * 0x1_2345_6789_ABCD)));
    assert!(encode_day(&noise).len() <= HEAD_BYTES + 144 * 8);
}

#[test]
fn blocks_are_read_for_ever() {
    // Bytes that archives have on disk: with a map of gaps, and a list of them.
    let mut bytes = vec![RAW | GAP_MAP << 2, 2, 0, 4, 0, 0b1101];
    let mut points: Vec<Point> = vec![(2, 1.5), (4, 2.0), (5, 3.0)];
    bytes.extend(points.iter().flat_map(|point| point.1.to_le_bytes()));
    assert_eq!(encode_part(&points), bytes);
    assert_eq!(Decoder::default().read(&bytes).unwrap().collect::<Vec<_>>(), points);

    points = (0..40).filter(|at| *at != 7).map(|at| (1000 + at, f64::from(at))).collect();
    bytes = vec![RAW | GAP_LIST << 2, 0xE8, 3, 40, 0, 1, 7];
    bytes.extend(points.iter().flat_map(|point| point.1.to_le_bytes()));
    assert_eq!(encode_part(&points), bytes);
    assert_eq!(Decoder::default().read(&bytes).unwrap().collect::<Vec<_>>(), points);

    let points = (0..144).map(|at| (at, f64::from(at * 37 % 50) / 100.0)).collect::<Vec<_>>();
    assert_eq!(Decoder::default().read(&GOLDEN).unwrap().collect::<Vec<_>>(), points);
}

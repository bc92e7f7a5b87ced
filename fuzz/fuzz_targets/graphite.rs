#![no_main]

use weather_balloon_fuzz::bound::GRAPHITE;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| GRAPHITE.run(bytes));

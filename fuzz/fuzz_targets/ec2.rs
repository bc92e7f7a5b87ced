#![no_main]

use weather_balloon_fuzz::bound::EC2;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| EC2.run(bytes));

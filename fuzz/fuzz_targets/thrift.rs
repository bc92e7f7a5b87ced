#![no_main]

use weather_balloon_fuzz::bound::THRIFT;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| THRIFT.run(bytes));

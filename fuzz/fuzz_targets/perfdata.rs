#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weather_balloon::perfdata::fuzz::lines(bytes));

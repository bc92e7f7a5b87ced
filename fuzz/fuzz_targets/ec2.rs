#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weather_balloon::providers::ec2::fuzz::body(bytes));

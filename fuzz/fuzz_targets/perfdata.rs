#![no_main]

use weather_balloon_fuzz::bound::PERFDATA;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| PERFDATA.run(bytes));

#![no_main]

use weather_balloon_fuzz::bound::CONFIG;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| CONFIG.run(bytes));

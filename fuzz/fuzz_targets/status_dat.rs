#![no_main]

use weather_balloon_fuzz::bound::STATUS_DAT;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| STATUS_DAT.run(bytes));

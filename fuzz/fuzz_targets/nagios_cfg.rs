#![no_main]

use weather_balloon_fuzz::bound::NAGIOS_CFG;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| NAGIOS_CFG.run(bytes));

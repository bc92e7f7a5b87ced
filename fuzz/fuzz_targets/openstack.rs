#![no_main]

use weather_balloon_fuzz::bound::OPENSTACK;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| OPENSTACK.run(bytes));

//! Lines as Nagios writes them, and what our parser makes of them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a rig fails as a test does")]

use weather_balloon::perfdata::{Config, Dropped, LineCounts, Parser};

pub const TIME: i64 = 1_767_225_600;

/// A line of our own template: the perfdata last.
pub fn our_line(host: &str, perfdata: &[u8]) -> Vec<u8> {
    let mut line = format!(
        "DATATYPE::SERVICEPERFDATA\tTIMET::{TIME}\tHOSTNAME::{host}\tSERVICEDESC::Check Load\t\
         SERVICECHECKCOMMAND::wb_check_nrpe!check_load\tHOSTSTATE::UP\tHOSTSTATETYPE::HARD\t\
         SERVICESTATE::OK\tSERVICESTATETYPE::HARD\tGRAPHITEPREFIX::nagios\t\
         GRAPHITEPOSTFIX::svc\tSERVICEPERFDATA::"
    )
    .into_bytes();
    line.extend_from_slice(perfdata);
    line
}

/// A line of the template of 2014: the perfdata in the middle.
pub fn line_of_2014(host: &str, perfdata: &[u8]) -> Vec<u8> {
    let mut line = format!(
        "DATATYPE::SERVICEPERFDATA\tTIMET::{TIME}\tHOSTNAME::{host}\tSERVICEDESC::Check Load\t\
         SERVICEPERFDATA::"
    )
    .into_bytes();
    line.extend_from_slice(perfdata);
    line.extend_from_slice(
        b"\tSERVICECHECKCOMMAND::check_nrpe!check_load\tHOSTSTATE::UP\tHOSTSTATETYPE::HARD\t\
          SERVICESTATE::OK\tSERVICESTATETYPE::HARD\tGRAPHITEPREFIX::nagios\t\
          GRAPHITEPOSTFIX::svc",
    );
    line
}

/// The samples of a line: path and value.
pub fn parse(line: &[u8]) -> Result<(Vec<(String, f64)>, LineCounts), Dropped> {
    let mut samples = Vec::new();
    let mut parser = Parser::new(&Config::default());
    let counts = parser.line(
        line,
        |_| true,
        |sample| {
            assert_eq!(sample.time(), TIME);
            samples.push((sample.path().as_str().to_owned(), sample.value()));
        },
    )?;
    assert_eq!(counts.samples as usize, samples.len());
    Ok((samples, counts))
}

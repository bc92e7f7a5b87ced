//! The rows of the table.

use crate::results::Results;

pub struct Row {
    what: String,
    target: String,
    measured: String,
    baseline: String,
    verdict: String,
}

impl Row {
    pub fn judged(
        what: impl Into<String>,
        target: impl Into<String>,
        measured: impl Into<String>,
        baseline: impl Into<String>,
        met: bool,
    ) -> Self {
        let measured = measured.into();
        let verdict = if met { "met".to_owned() } else { format!("MISSED: {measured}") };
        Self {
            what: what.into(),
            target: target.into(),
            measured,
            baseline: baseline.into(),
            verdict,
        }
    }

    /// Measured, but not so that it tells anything.
    pub fn unclear(
        what: impl Into<String>,
        target: impl Into<String>,
        measured: impl Into<String>,
        baseline: impl Into<String>,
        why: &str,
    ) -> Self {
        let verdict = format!("UNCLEAR: {why}");
        Self { verdict, ..Self::judged(what, target, measured, baseline, false) }
    }
}

pub struct Report {
    rows: Vec<Row>,
    results: Results,
}

impl Report {
    pub fn begin() -> Self {
        Self { rows: Vec::new(), results: Results::begin("The door and the hosts") }
    }

    /// A part that fails is a row too, so that nobody takes it for met.
    pub fn add(&mut self, part: &str, rows: anyhow::Result<Vec<Row>>) {
        match rows {
            Ok(rows) => self.rows.extend(rows),
            Err(fault) => self.rows.push(Row {
                what: format!("part \"{part}\""),
                target: String::new(),
                measured: "none".to_owned(),
                baseline: String::new(),
                verdict: format!("NOT MEASURED: {fault:#}").replace(['\n', '|'], " "),
            }),
        }
    }

    pub fn end(mut self) -> Results {
        for Row { what, target, measured, baseline, verdict } in &self.rows {
            self.results.add(what, target, measured, baseline, verdict);
        }
        self.results
    }
}

//! What was measured, beside what was asked for.

use std::fmt::Write as _;

use serde::Serialize;

/// What is asked of a figure.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::bench) enum Asked {
    /// No less.
    AtLeast(f64),
    /// No more.
    AtMost(f64),
}

/// A figure.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::bench) struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<Asked>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<bool>,
}

/// One part of the run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::bench) struct Part {
    title: &'static str,
    rows: Vec<Row>,
    /// What a reader must know to judge the figures.
    notes: Vec<String>,
}

impl Part {
    /// An empty part.
    pub(in crate::bench) fn new(title: &'static str) -> Self {
        Self { title, rows: Vec::new(), notes: Vec::new() }
    }

    /// A figure of which nothing is asked: a limit, or what explains another figure.
    pub(in crate::bench) fn seen(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.rows.push(Row { name: name.into(), value, unit, asked: None, pass: None });
    }

    /// A figure that was asked for.
    pub(in crate::bench) fn asked(
        &mut self,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        asked: Asked,
    ) {
        let pass = match asked {
            Asked::AtLeast(least) => value >= least,
            Asked::AtMost(most) => value <= most,
        };
        self.rows.push(Row { name: name.into(), value, unit, asked: Some(asked), pass: Some(pass) });
    }

    /// A sentence for the reader.
    pub(in crate::bench) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n{}", self.title)?;
        for Row { name, value, unit, asked, pass } in &self.rows {
            let asked = match asked {
                Some(Asked::AtLeast(least)) => format!("≥ {}", number(*least)),
                Some(Asked::AtMost(most)) => format!("≤ {}", number(*most)),
                None => String::new(),
            };
            let verdict = pass.map_or("", |pass| if pass { "pass" } else { "MISS" });
            writeln!(out, "  {verdict:<5}{name:<56}{asked:>10}{:>13}  {unit}", number(*value))?;
        }
        for note in &self.notes {
            writeln!(out, "       {note}")?;
        }
        Ok(())
    }
}

/// The whole run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Board {
    /// Figures that are as asked.
    passed: usize,
    /// Figures that are not.
    missed: usize,
    parts: Vec<Part>,
}

impl Board {
    /// The run from its parts.
    pub(in crate::bench) fn new(parts: Vec<Part>) -> Self {
        let count = |verdict| {
            parts.iter().flat_map(|part| &part.rows).filter(|row| row.pass == Some(verdict)).count()
        };
        Self { passed: count(true), missed: count(false), parts }
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut out = format!("       {:<56}{:>10}{:>13}", "", "asked", "measured");
        let lines = self.parts.iter().try_for_each(|part| part.write(&mut out));
        lines.expect("writing to a string does not fail");
        out + &format!("\n{} figures as asked, {} not\n", self.passed, self.missed)
    }
}

/// Short, and with its first three digits.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 || value == 0.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_decides() {
        let mut part = Part::new("a part");
        part.asked("rate", 30_000.0, "1/s", Asked::AtLeast(25_000.0));
        part.asked("time", 2.5, "s", Asked::AtMost(2.0));
        part.seen("limit", 5.0, "s");
        let board = Board::new(vec![part]);
        assert_eq!((board.passed, board.missed), (1, 1));
        let table = board.table();
        assert!(table.contains("pass rate") && table.contains("MISS time"), "{table}");
    }
}

//! Rows of a CSV file (RFC 4180): commas, a head with the names of the fields, quotes where a cell needs them. What two
//! programs could read in two ways is refused as a whole.

use serde_json::Value;

use super::{ROWS_MAX, Row};
use crate::error::Error;

/// Fields that are text, and those that are numbers or JSON.
const TEXTS: [&str; 6] =
    ["externalId", "productName", "description", "saleStartTime", "saleEndTime", "saleZone"];
const VALUES: [&str; 9] = [
    "originalPrice",
    "discountedPrice",
    "stock",
    "categoryCode",
    "purchaseLimit",
    "draft",
    "images",
    "productOptions",
    "queue",
];
const REQUIRED: [&str; 8] = [
    "externalId",
    "productName",
    "originalPrice",
    "discountedPrice",
    "stock",
    "categoryCode",
    "saleStartTime",
    "saleEndTime",
];

/// The rows of a file.
///
/// # Errors
/// [`Error::Invalid`] for `body`, with the line: no UTF-8, broken quoting, a head with unknown, double or missing names,
/// a row with more or fewer cells than the head, no row, or more than 100,000.
pub fn rows(bytes: &[u8]) -> Result<Vec<Row>, Error> {
    let refuse = |rule: String| Error::field("body", rule);
    let text = std::str::from_utf8(bytes).map_err(|_| refuse("is UTF-8".into()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    check_quotes(text).map_err(|line| refuse(format!("line {line}: a quote is out of place")))?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let head = reader.headers().map_err(|error| refuse(error.to_string()))?.clone();
    check_head(&head)?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| refuse(error.to_string()))?;
        if rows.len() == ROWS_MAX {
            return Err(refuse(format!("at most {ROWS_MAX} rows")));
        }
        let cells = head.iter().zip(&record).filter(|(_, cell)| !cell.is_empty());
        rows.push(cells.map(|(name, cell)| (name.to_owned(), value(name, cell))).collect());
    }
    if rows.is_empty() { Err(refuse("has a row below its head".into())) } else { Ok(rows) }
}

/// What is no number and no JSON stays text: the rule of its field refuses the row, and no other.
fn value(name: &str, cell: &str) -> Value {
    if TEXTS.contains(&name) {
        return cell.into();
    }
    serde_json::from_str(cell).unwrap_or_else(|_| cell.into())
}

fn check_head(head: &csv::StringRecord) -> Result<(), Error> {
    let known = |name: &str| TEXTS.contains(&name) || VALUES.contains(&name);
    let times = |name: &str| head.iter().filter(|other| *other == name).count();
    if let Some(name) = head.iter().find(|name| !known(name) || times(name) > 1) {
        return Err(Error::field("body", format!("the head names each known field once: {name}")));
    }
    match REQUIRED.into_iter().find(|name| times(name) == 0) {
        Some(missing) => Err(Error::field("body", format!("the head names {missing}"))),
        None => Ok(()),
    }
}

/// A quote opens a cell at its beginning, is doubled inside, and closes it at its end. The reader itself takes anything.
///
/// # Errors
/// The line of the first quote that does none of this.
fn check_quotes(text: &str) -> Result<(), usize> {
    let (mut line, mut opened, mut quoted, mut before) = (1, 1, false, ',');
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        line += usize::from(letter == '\n');
        match letter {
            '"' if quoted && letters.next_if_eq(&'"').is_some() => {}
            '"' if quoted && matches!(letters.peek(), None | Some(',' | '\r' | '\n')) => quoted = false,
            '"' if !quoted && matches!(before, ',' | '\n') => (quoted, opened) = (true, line),
            '"' => return Err(line),
            _ => {}
        }
        before = letter;
    }
    if quoted { Err(opened) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "externalId,productName,originalPrice,discountedPrice,stock,categoryCode,saleStartTime,saleEndTime,images";

    fn refused(text: &str) -> String {
        match rows(text.as_bytes()) {
            Err(Error::Invalid(errors)) => {
                assert_eq!(errors[0].field, "body");
                errors[0].message.clone()
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn cells_become_fields() {
        let file = format!(
            "\u{feff}{HEAD}\r\n7,\"lamp, \"\"red\"\"\nnew\",10,9,5,1000,a,b,\"[\"\"k\"\"]\"\r\n8,x,ten,,,,,,\r\n"
        );
        let rows = rows(file.as_bytes()).unwrap();
        assert_eq!(rows[0]["externalId"], "7");
        assert_eq!(rows[0]["productName"], "lamp, \"red\"\nnew");
        assert_eq!((&rows[0]["stock"], &rows[0]["images"][0]), (&5.into(), &"k".into()));
        // Left empty is not there; what is no number is for the row's own rules.
        assert_eq!((rows[1].len(), &rows[1]["originalPrice"]), (3, &"ten".into()));
    }

    #[test]
    fn broken_quoting_is_refused_with_its_line() {
        for (row, line) in [
            ("1,\"lamp,10,9,5,1000,a,b,", 2),
            ("1,la\"mp,10,9,5,1000,a,b,", 2),
            ("1,\"la\"mp,10,9,5,1000,a,b,", 2),
            ("1,\"lamp\" ,10,9,5,1000,a,b,", 2),
            ("1,\"a\nb\",10,9,5,1000,a,b,\n2,c\"d,10,9,5,1000,a,b,", 4),
        ] {
            assert_eq!(
                refused(&format!("{HEAD}\n{row}")),
                format!("line {line}: a quote is out of place"),
                "{row}"
            );
        }
    }

    #[test]
    fn a_file_that_says_something_else_is_refused() {
        assert!(refused(&format!("{HEAD}\n1,2")).contains("fields"));
        assert!(refused(&format!("{HEAD},colour\n")).contains("colour"));
        assert!(refused(&format!("{HEAD},stock\n")).contains("stock"));
        assert!(refused("externalId,productName\n1,2").contains("originalPrice"));
        assert!(refused(HEAD).contains("a row"));
        assert!(refused("").contains("head"));
        assert!(rows(b"\xff").is_err());
    }
}

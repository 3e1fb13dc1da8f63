//! As much of PromQL as it takes to know which metrics and labels an expression names. `promtool` knows the rest.

use std::collections::BTreeSet;

const KEYWORDS: [&str; 9] = ["and", "or", "unless", "bool", "offset", "atan2", "inf", "nan", "group"];
const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// What an expression names.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Names {
    /// Each metric with the labels that its matchers name.
    pub(crate) metrics: Vec<(String, BTreeSet<String>)>,
    /// Labels of `by`, `on` and the like.
    pub(crate) grouping: BTreeSet<String>,
}

/// Reads an expression.
pub(crate) fn names(expression: &str) -> Names {
    let mut names = Names::default();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '"' => after_string(rest),
            '[' => rest.split_once(']').map_or("", |(_, rest)| rest),
            '{' => {
                let (labels, after) = matchers(&rest[1..]);
                if let Some((_, all)) = names.metrics.last_mut() {
                    all.extend(labels);
                }
                after
            }
            c if c.is_ascii_digit() => rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '.'),
            c if is_word(c) => word(rest, &mut names),
            c => &rest[c.len_utf8()..],
        }
        .trim_start();
    }
    names
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == ':'
}

/// Takes a metric, a function or a keyword, and returns what follows.
fn word<'a>(text: &'a str, names: &mut Names) -> &'a str {
    let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
    let (word, after) = (&text[..end], text[end..].trim_start());
    let list = after.strip_prefix('(').and_then(|list| list.split_once(')'));
    match list {
        Some((labels, after)) if GROUPING.contains(&word) => {
            let labels = labels.split(',').map(str::trim).filter(|label| !label.is_empty());
            names.grouping.extend(labels.map(str::to_owned));
            after
        }
        // `sum by (product) (x)`: the grouping may stand before the brackets.
        _ if ["(", "by ", "by(", "without ", "without("].iter().any(|call| after.starts_with(call))
            || KEYWORDS.contains(&word)
            || GROUPING.contains(&word) =>
        {
            after
        }
        _ => {
            names.metrics.push((word.to_owned(), BTreeSet::new()));
            after
        }
    }
}

/// The labels up to the closing brace, and what follows it.
fn matchers(mut text: &str) -> (BTreeSet<String>, &str) {
    let mut labels = BTreeSet::new();
    loop {
        text = text.trim_start_matches([',', ' ', '\n', '=', '!', '~']);
        match text.chars().next() {
            None => return (labels, ""),
            Some('}') => return (labels, &text[1..]),
            Some('"') => text = after_string(text),
            Some(c) if is_word(c) => {
                let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
                labels.insert(text[..end].to_owned());
                text = &text[end..];
            }
            Some(c) => text = &text[c.len_utf8()..],
        }
    }
}

/// What follows a text in double quotes.
fn after_string(text: &str) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return &text[at + 1..],
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    ""
}

#[test]
fn metrics_and_labels_are_found() {
    let found = names(
        r#"histogram_quantile(0.99, sum by (job, le) (rate(a_bucket{route!~".*\"live}", code="5"}[1m30s])))
           and on (product) max(b) > 1e3 or absent(up{job="x"}) unless ignoring() c"#,
    );
    let metric = |name: &str, labels: &[&str]| {
        (name.to_owned(), labels.iter().map(|&label| label.to_owned()).collect::<BTreeSet<_>>())
    };
    let metrics =
        [metric("a_bucket", &["code", "route"]), metric("b", &[]), metric("up", &["job"]), metric("c", &[])];
    assert_eq!(found.metrics, metrics);
    assert_eq!(found.grouping.into_iter().collect::<Vec<_>>(), ["job", "le", "product"]);
}

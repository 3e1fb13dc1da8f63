//! How the services behind a sale are doing: their own figures, read from `/metrics`.

use std::collections::BTreeMap;

/// Fewer answers than this in one window say nothing about a 95th percentile.
const ANSWERS_MIN: f64 = 20.0;
/// Seconds of HTTP, in buckets.
const SECONDS: &str = "astraphe_http_request_seconds_bucket";
/// Answers by status.
const ANSWERS: &str = "astraphe_http_requests_total";
/// How the figure of records that wait ends, in every service.
const LAG: &str = "_consumer_lag";

/// One process's figures at one moment, counted since its start.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sample {
    /// Upper bound of a bucket as written → answers up to it.
    buckets: BTreeMap<String, f64>,
    answers: f64,
    errors: f64,
    lag: f64,
}

/// What happened between two samples of all processes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Load {
    /// 95 % of requests were answered within this, in ms; `None` with too few of them.
    pub(crate) p95_ms: Option<f64>,
    /// Share of requests that failed with a status from 500 on; `None` with too few of them.
    pub(crate) error_share: Option<f64>,
    /// Records that wait to be read; `None` where no process said.
    pub(crate) lag: Option<f64>,
    /// Every process was seen at both ends.
    pub(crate) is_whole: bool,
}

impl Sample {
    /// Reads Prometheus's text format, as `common::metrics::text` writes it.
    pub(crate) fn read(text: &str) -> Self {
        let mut sample = Self::default();
        for line in text.lines() {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            match name {
                SECONDS => {
                    let bound = label(labels, "le").unwrap_or_default();
                    *sample.buckets.entry(bound.to_owned()).or_default() += value;
                }
                ANSWERS => {
                    sample.answers += value;
                    if label(labels, "status").is_some_and(|status| status.starts_with('5')) {
                        sample.errors += value;
                    }
                }
                name if name.ends_with(LAG) => sample.lag += value,
                _ => {}
            }
        }
        sample
    }

    /// What came since `before`; `None` where the process was started anew in between.
    fn since(&self, before: &Self) -> Option<Self> {
        let mut buckets = BTreeMap::new();
        for (bound, count) in &self.buckets {
            buckets.insert(bound.clone(), rise(*count, before.buckets.get(bound).copied())?);
        }
        let answers = rise(self.answers, Some(before.answers))?;
        let errors = rise(self.errors, Some(before.errors))?;
        Some(Self { buckets, answers, errors, lag: self.lag })
    }
}

fn rise(now: f64, before: Option<f64>) -> Option<f64> {
    let rise = now - before.unwrap_or(0.0);
    (rise >= 0.0).then_some(rise)
}

/// The value of a label in `a="1",b="2"}`. Labels that are read here hold neither quotes nor commas.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix("=\"")?.split('"').next())
}

impl Load {
    /// What happened between two looks at the same processes; `None` stands for one that did not answer.
    pub(crate) fn between(before: &[Option<Sample>], now: &[Option<Sample>]) -> Self {
        let mut sum = Sample::default();
        let mut load = Self { is_whole: !now.is_empty(), ..Self::default() };
        for (now, before) in now.iter().zip(before) {
            if let Some(now) = now {
                load.lag = Some(load.lag.unwrap_or(0.0) + now.lag);
            }
            let rise = now.as_ref().zip(before.as_ref()).and_then(|(now, before)| now.since(before));
            let Some(rise) = rise else {
                load.is_whole = false;
                continue;
            };
            for (bound, count) in rise.buckets {
                *sum.buckets.entry(bound).or_default() += count;
            }
            sum.answers += rise.answers;
            sum.errors += rise.errors;
        }
        if sum.answers >= ANSWERS_MIN {
            load.p95_ms = quantile(&sum.buckets, 0.95).map(|seconds| seconds * 1_000.0);
            load.error_share = Some(sum.errors / sum.answers);
        }
        load
    }
}

/// Where a quantile lies, in the unit of the bounds: evenly spread within its bucket, and at the largest bound where it
/// lies beyond.
fn quantile(buckets: &BTreeMap<String, f64>, q: f64) -> Option<f64> {
    let mut sorted: Vec<(f64, f64)> =
        buckets.iter().filter_map(|(bound, count)| Some((bound.parse().ok()?, *count))).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let wanted = sorted.last().map(|(_, all)| all * q).filter(|wanted| *wanted > 0.0)?;
    let (mut from, mut below) = (0.0, 0.0);
    for (bound, count) in sorted {
        if count >= wanted {
            let share = (wanted - below) / (count - below);
            return Some(if bound.is_finite() { from + (bound - from) * share } else { from });
        }
        (from, below) = (bound, count);
    }
    None
}

#[cfg(test)]
mod tests {
    use common::http::observe::HttpMetrics;
    use proptest::prelude::*;

    use super::*;

    /// A process that answered `fast` requests within 10 ms and `slow` ones within half a second, of which `failed`.
    fn process(fast: u32, slow: u32, failed: u32, lag: u32) -> Option<Sample> {
        let all = fast + slow;
        let text = format!(
            "# HELP astraphe_http_request_seconds Seconds\n\
             astraphe_http_request_seconds_bucket{{route=\"/api/orders/{{id}}\",le=\"0.01\"}} {fast}\n\
             astraphe_http_request_seconds_bucket{{route=\"/api/orders/{{id}}\",le=\"0.25\"}} {fast}\n\
             astraphe_http_request_seconds_bucket{{route=\"/api/orders/{{id}}\",le=\"0.5\"}} {all}\n\
             astraphe_http_request_seconds_bucket{{route=\"/api/orders/{{id}}\",le=\"+Inf\"}} {all}\n\
             astraphe_http_requests_total{{method=\"POST\",route=\"/api/orders\",status=\"202\"}} {}\n\
             astraphe_http_requests_total{{method=\"POST\",route=\"/api/orders\",status=\"503\"}} {failed}\n\
             astraphe_order_consumer_lag{{topic=\"stock.decisions.v1\"}} {lag}\n\
             process_open_fds 12\n",
            all - failed,
        );
        Some(Sample::read(&text))
    }

    fn near(value: Option<f64>, wanted: f64) -> bool {
        value.is_some_and(|value| (value - wanted).abs() < 1e-6)
    }

    common::metrics! {
        /// As the services behind a sale have them.
        struct Lags {
            /// Records that wait to be read.
            consumer_lag: IntGaugeVec["topic"],
        } namespace: "astraphe_order"
    }

    #[test]
    fn what_services_really_show_is_understood() {
        let registry = prometheus::Registry::new();
        let http = HttpMetrics::register(&registry).unwrap();
        Lags::register(&registry).unwrap().consumer_lag.with_label_values(&["stock.decisions.v1"]).set(9);
        let text = || String::from_utf8(common::metrics::text(&registry)).unwrap();
        let answer = |status: &str, seconds: f64| {
            http.requests_total.with_label_values(&["/api/orders/{id}", "GET", status]).inc();
            http.request_seconds.with_label_values(&["/api/orders/{id}"]).observe(seconds);
        };
        answer("200", 9.0);
        let before = [Some(Sample::read(&text()))];
        (0..99).for_each(|_| answer("200", 0.2));
        answer("503", 0.2);
        let load = Load::between(&before, &[Some(Sample::read(&text()))]);
        // All lie between 0.1 and 0.25 s, 95 % of them below this.
        assert!(near(load.p95_ms, 242.5) && near(load.error_share, 0.01), "{load:?}");
        assert!(near(load.lag, 9.0) && load.is_whole, "{load:?}");
    }

    #[test]
    fn the_window_alone_counts_over_all_processes() {
        let before = [process(10_000, 0, 0, 7), process(500, 0, 100, 1)];
        let load = Load::between(&before, &[process(10_090, 0, 0, 30), process(500, 10, 101, 12)]);
        assert!(load.is_whole);
        // 5 of the 10 slow ones lie below.
        assert!(near(load.p95_ms, 375.0), "{load:?}");
        assert!(near(load.error_share, 0.01), "{load:?}");
        assert!(near(load.lag, 42.0), "{load:?}");
    }

    #[test]
    fn a_process_that_is_away_new_or_restarted_makes_the_view_partial() {
        let (before, later) = (process(100, 0, 0, 0), process(200, 0, 0, 5));
        for (was, is) in [(&before, None), (&None, later.clone()), (&later, before.clone())] {
            let load = Load::between(&[was.clone(), before.clone()], &[is, later.clone()]);
            assert!(!load.is_whole, "{was:?}");
            // What the other one says still counts.
            assert!(load.p95_ms.is_some(), "{load:?}");
        }
        assert!(!Load::between(&[], &[]).is_whole);
    }

    #[test]
    fn too_few_answers_say_nothing() {
        let (before, now) = ([process(100, 0, 0, 3)], [process(100, 19, 19, 3)]);
        let load = Load::between(&before, &now);
        assert_eq!((load.p95_ms, load.error_share), (None, None));
        assert!(load.is_whole && near(load.lag, 3.0));
    }

    #[test]
    fn what_took_longer_than_the_largest_bucket_counts_as_that() {
        let text = |all: u32| {
            let seconds = "astraphe_http_request_seconds_bucket{route=\"/\",le=";
            let answers = "astraphe_http_requests_total{status=\"200\"}";
            Some(Sample::read(&format!("{seconds}\"10\"}} 0\n{seconds}\"+Inf\"}} {all}\n{answers} {all}\n")))
        };
        assert!(near(Load::between(&[text(0)], &[text(50)]).p95_ms, 10_000.0));
    }

    proptest! {
        #[test]
        fn a_quantile_lies_in_the_bucket_where_counting_finds_it(
            counts in proptest::collection::vec(0_u32..50, 4), q in 0.01_f64..1.0,
        ) {
            let bounds = ["0.1", "0.5", "2.5", "+Inf"];
            let mut sum = 0;
            let buckets: BTreeMap<String, f64> = bounds.iter().zip(&counts).map(|(bound, count)| {
                sum += count;
                ((*bound).to_owned(), f64::from(sum))
            }).collect();
            let found = quantile(&buckets, q);
            prop_assert_eq!(found.is_none(), sum == 0);
            let Some(found) = found else { return Ok(()) };
            let (mut from, mut below) = (0.0, 0.0);
            for bound in bounds {
                let upto = buckets[bound];
                if upto >= q * f64::from(sum) && upto > below {
                    let end = bound.parse::<f64>().unwrap();
                    prop_assert!(found >= from && (found <= end), "{found} not in {from}..{end}");
                    break;
                }
                (from, below) = (bound.parse().unwrap(), upto);
            }
        }

        #[test]
        fn no_text_makes_it_fail(text in "\\PC*") {
            Sample::read(&text);
        }
    }
}

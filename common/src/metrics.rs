//! Figures: one declaration gives name, help text and labels. Each service has its own registry.

use prometheus::{Encoder as _, Registry, TextEncoder};

/// Buckets in seconds for what a shopper waits for: from a cache hit (0.5 ms) to a lost connection (10 s).
pub const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Declares a service's metrics. The doc comment is the help text; `["a", "b"]` are the labels.
///
/// ```
/// common::metrics! { pub struct Metrics {
///     /// Orders by final state.
///     orders_total: IntCounterVec["state"],
///     /// Seconds from order placed to stock answer.
///     stock_wait_seconds: Histogram,
/// } namespace: "astraphe_order" }
/// let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
/// metrics.orders_total.with_label_values(&["paid"]).inc();
/// ```
#[macro_export]
macro_rules! metrics {
    ($(#[$outer:meta])* $vis:vis struct $name:ident {
        $($(#[doc = $help:literal])+ $field:ident : $kind:ident $([$($label:literal),+])?),+ $(,)?
    } namespace: $namespace:literal) => {
        $(#[$outer])*
        /// The service's figures.
        #[derive(Debug, Clone)]
        $vis struct $name {
            $($(#[doc = $help])+ pub $field: ::prometheus::$kind,)+
        }

        impl $name {
            /// Makes every metric and registers it.
            ///
            /// # Errors
            /// When a name is registered twice.
            $vis fn register(registry: &::prometheus::Registry) -> ::prometheus::Result<Self> {
                $(let $field = $crate::metrics::make::$kind(
                    concat!($namespace, "_", stringify!($field)),
                    concat!($($help),+).trim(),
                    &[$($($label),+)?],
                )?;
                registry.register(Box::new($field.clone()))?;)+
                Ok(Self { $($field),+ })
            }
        }
    };
}

/// One maker per kind of metric, named as the kind, for [`metrics!`].
#[expect(non_snake_case, reason = "the macro names the maker after the type")]
pub mod make {
    use prometheus::{
        Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
        Result,
    };

    use super::SECONDS;

    macro_rules! makers {
        ($($(#[$doc:meta])* $kind:ident = |$name:ident, $help:ident, $labels:ident| $make:expr;)+) => {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// When the name or a label is not a valid one.
            pub fn $kind($name: &str, $help: &str, $labels: &[&str]) -> Result<$kind> {
                let _ = $labels;
                $make
            }
        )+};
    }

    makers! {
        /// A count.
        IntCounter = |name, help, labels| IntCounter::new(name, help);
        /// Counts by label.
        IntCounterVec = |name, help, labels| IntCounterVec::new(Opts::new(name, help), labels);
        /// A level.
        IntGauge = |name, help, labels| IntGauge::new(name, help);
        /// Levels by label.
        IntGaugeVec = |name, help, labels| IntGaugeVec::new(Opts::new(name, help), labels);
        /// Seconds.
        Histogram = |name, help, labels| {
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))
        };
        /// Seconds by label.
        HistogramVec = |name, help, labels| {
            HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels)
        };
    }
}

/// A registry that already holds the process's own figures (CPU, memory, open files).
#[must_use]
pub fn registry() -> Registry {
    let registry = Registry::new();
    let process = prometheus::process_collector::ProcessCollector::for_self();
    registry.register(Box::new(process)).expect("a new registry holds no collector yet");
    registry
}

/// Prometheus text format, version 0.0.4.
#[must_use]
pub fn text(registry: &Registry) -> Vec<u8> {
    let mut out = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut out).expect("writing to memory cannot fail");
    out
}

//! Moments as a seller writes them: with an offset, or as the local time of an IANA zone. A local time that does not
//! exist, or exists twice, is refused with the two moments that may be meant.

use chrono::{DateTime, Duration, LocalResult, NaiveDateTime, Offset as _, SecondsFormat, TimeZone as _};
use chrono_tz::Tz;
use common::wire::Time;

use crate::field::Report;

/// Forms of a local time; seconds are optional.
const LOCAL: [&str; 2] = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"];

/// The zone of that name, where one is named.
pub fn named(name: Option<&str>, report: &mut Report) -> Option<Tz> {
    let zone = name?.parse().ok();
    report.require(zone.is_some(), "saleZone", "a zone of the IANA database, such as Asia/Seoul");
    zone
}

/// The moment that a text names.
///
/// # Errors
/// The rule that it breaks; where two moments may be meant, with both.
pub fn moment(text: &str, zone: Option<Tz>) -> Result<Time, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    let local = LOCAL.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let (Some(local), Some(zone)) = (local, zone) else {
        return Err("a time as 2026-11-27T10:00:00+09:00, or 2026-11-27T10:00 beside saleZone".to_owned());
    };
    let (what, one, other) = match zone.from_local_datetime(&local) {
        LocalResult::Single(at) => return Ok(at.to_utc()),
        LocalResult::Ambiguous(first, second) => ("exists twice", first, second),
        LocalResult::None => {
            // By the clocks of before the change, and by those of after it.
            let by = |clock: NaiveDateTime| {
                let offset = zone.offset_from_utc_datetime(&clock).fix();
                zone.from_utc_datetime(&(local - offset))
            };
            let day = Duration::days(1);
            let around = local.checked_sub_signed(day).zip(local.checked_add_signed(day));
            let Some((before, after)) = around else { return Err("between 2000 and 2200".to_owned()) };
            ("does not exist", by(before), by(after))
        }
    };
    let shown = |at: DateTime<Tz>| at.to_rfc3339_opts(SecondsFormat::AutoSi, false);
    Err(format!("{text} {what} in {zone}: send {} or {}", shown(one), shown(other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, zone: &str) -> Result<String, String> {
        let at = moment(text, Some(zone.parse().unwrap()))?;
        Ok(at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }

    #[test]
    fn local_times_are_those_of_their_zone() {
        assert_eq!(read("2026-11-27T10:00", "Asia/Seoul").unwrap(), "2026-11-27T01:00:00Z");
        assert_eq!(read("2026-07-01T10:00:30.5", "Europe/Berlin").unwrap(), "2026-07-01T08:00:30.500Z");
        // An offset decides alone.
        assert_eq!(read("2026-11-27T10:00:00+02:00", "Asia/Seoul").unwrap(), "2026-11-27T08:00:00Z");
        for text in ["tomorrow", "2026-13-01T10:00", "2026-02-30T10:00", "", "+262000-01-01T00:00:00Z"] {
            assert!(read(text, "Asia/Seoul").is_err(), "{text}");
        }
        assert!(moment("2026-11-27T10:00", None).is_err());
    }

    #[test]
    fn a_local_time_that_does_not_exist_is_refused_with_the_two_that_do() {
        let refused = read("2026-03-29T02:30", "Europe/Berlin").unwrap_err();
        let wanted =
            "does not exist in Europe/Berlin: send 2026-03-29T03:30:00+02:00 or 2026-03-29T01:30:00+01:00";
        assert!(refused.ends_with(wanted), "{refused}");
        // Samoa left out a whole day.
        let refused = read("2011-12-30T12:00", "Pacific/Apia").unwrap_err();
        let wanted = "send 2011-12-31T12:00:00+14:00 or 2011-12-29T12:00:00-10:00";
        assert!(refused.ends_with(wanted), "{refused}");
    }

    #[test]
    fn a_local_time_that_exists_twice_is_refused_with_both() {
        let refused = read("2026-10-25T02:30", "Europe/Berlin").unwrap_err();
        let wanted =
            "exists twice in Europe/Berlin: send 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00";
        assert!(refused.ends_with(wanted), "{refused}");
        for choice in ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"] {
            assert!(read(choice, "Europe/Berlin").is_ok());
        }
    }
}

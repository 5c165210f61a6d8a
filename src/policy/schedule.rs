//! When a rule is asked: from and until a moment, on days of the week, at hours of the day, in a time zone.
//!
//! `from` is the first moment, `until` the first one no more. Hours that cross midnight belong to the day on which they
//! begin: Friday from 22:00 to 06:00 ends on Saturday morning. The time-zone database is part of the program, so that a
//! policy means the same on every machine.
//!
//! May touch: nothing; the time is handed in. Trust boundary: the file is an administrator's.
//! Specification: RFC 3339, the IANA time-zone database.

use std::ops::Range;
use std::sync::LazyLock;

use jiff::civil::{self, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use toml::de::DeValue;
use toml::value::{Datetime, Offset};

use super::reader::{Reading, Section, Text, unknown_name};
use super::selector::read_list;
use crate::clock::Timestamp;
use crate::diagnostic::Diagnostic;
use crate::diagnostic::nearest;

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// The last minute of a day, and one more.
const DAY: u16 = 24 * 60;

/// When a rule is asked; empty lists leave nothing out.
#[derive(Debug, PartialEq)]
pub(super) struct Schedule {
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    days: Vec<Weekday>,
    hours: Vec<Hours>,
    zone: TimeZone,
}

/// A part of the day in minutes since midnight; the end is not in it, and may lie on the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hours {
    start: u16,
    end: u16,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { from: None, until: None, days: Vec::new(), hours: Vec::new(), zone: TimeZone::UTC }
    }
}

impl Schedule {
    /// Whether it leaves no time out.
    pub(super) fn is_always(&self) -> bool {
        self.from.is_none() && self.until.is_none() && self.days.is_empty() && self.hours.is_empty()
    }

    /// The key that leaves `now` out; nothing when it is the time.
    pub(super) fn refuses(&self, now: Timestamp) -> Option<&'static str> {
        if self.from.is_some_and(|from| now < from) {
            return Some("from");
        }
        if self.until.is_some_and(|until| now >= until) {
            return Some("until");
        }
        if self.days.is_empty() && self.hours.is_empty() {
            return None;
        }
        // A moment outside the calendar is at no time of any day.
        let Ok(moment) = jiff::Timestamp::from_millisecond(now.millis()) else { return Some("days") };
        let here = self.zone.to_datetime(moment);
        let minute = u16::from(here.hour().unsigned_abs()) * 60 + u16::from(here.minute().unsigned_abs());
        let (today, yesterday) = (here.weekday(), here.weekday().previous());
        let on = |day: Weekday| self.days.is_empty() || self.days.contains(&day);
        if self.hours.is_empty() {
            return if on(today) { None } else { Some("days") };
        }
        let is_time = self.hours.iter().any(|hours| {
            let begins_today = on(today) && minute >= hours.start && (minute < hours.end || hours.crosses_midnight());
            let began_yesterday = hours.crosses_midnight() && on(yesterday) && minute < hours.end;
            begins_today || began_yesterday
        });
        if is_time { None } else { Some("hours") }
    }
}

impl Schedule {
    /// What the key `key` says, for showing.
    pub(super) fn written(&self, key: &str) -> String {
        let zone = self.zone.iana_name().unwrap_or("UTC");
        let moment = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string()).unwrap_or_default();
        let days: Vec<_> =
            DAYS.iter().filter(|(_, day)| self.days.contains(day)).map(|(word, _)| (*word).to_owned()).collect();
        match key {
            "from" => moment(self.from),
            "until" => moment(self.until),
            "days" => format!("{} in {zone}", days.join(", ")),
            _ => {
                let hours: Vec<_> = self.hours.iter().map(ToString::to_string).collect();
                let on = if days.is_empty() { String::new() } else { format!(" on {}", days.join(", ")) };
                format!("{}{on} in {zone}", hours.join(", "))
            }
        }
    }

    /// `now` on the clock that the schedule goes by.
    pub(super) fn local(&self, now: Timestamp) -> String {
        match jiff::Timestamp::from_millisecond(now.millis()) {
            Ok(moment) => {
                let zone = self.zone.iana_name().unwrap_or("UTC");
                format!("{} in {zone}", self.zone.to_datetime(moment).strftime("%a %Y-%m-%d %H:%M:%S"))
            }
            Err(_) => now.to_string(),
        }
    }
}

impl std::fmt::Display for Hours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { start, end } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", start / 60, start % 60, end / 60, end % 60)
    }
}

impl Hours {
    const fn crosses_midnight(self) -> bool {
        self.end < self.start
    }
}

/// Reads `from`, `until`, `days`, `hours` and `zone`.
pub(super) fn read(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Option<Schedule> {
    let named = section.text("zone", reading);
    let zone_at = named.as_ref().map(|text| text.span.clone());
    let zone = match named {
        Some(text) => read_zone(&text, reading),
        None => section.lacks("zone").then_some(TimeZone::UTC),
    };
    let from = read_moment(section, "from", zone.as_ref(), reading);
    let until = read_moment(section, "until", zone.as_ref(), reading);
    let days = read_list(section, "days", reading, read_day);
    let hours = read_list(section, "hours", reading, read_hours);
    let keys = ["from", "until", "days", "hours"];
    if let Some(span) = zone_at.filter(|_| keys.iter().all(|key| section.lacks(key))) {
        reading.error(
            "`zone` says nothing without a time",
            span,
            "give `from`, `until`, `days` or `hours`, or remove it",
        );
    }
    if let (Some((from, _)), Some((until, span))) = (&from, &until)
        && from >= until
    {
        reading.error("`until` is not later than `from`: the rule could never match", span.clone(), "exchange them");
    }
    let complete = [from.is_some(), until.is_some(), days.is_some(), hours.is_some()];
    let complete = keys.iter().zip(complete).all(|(key, read)| read || section.lacks(key));
    let (from, until) = (from.map(|(moment, _)| moment), until.map(|(moment, _)| moment));
    let (days, hours) = (days.unwrap_or_default(), hours.unwrap_or_default());
    Some(Schedule { from, until, days, hours, zone: zone? }).filter(|_| complete)
}

/// The zone of this name, or what to do where there is none.
pub(super) fn zone_named(name: &str) -> Result<TimeZone, String> {
    static KNOWN: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
    KNOWN.get(name).map_err(|_| {
        let names: Vec<_> = KNOWN.available().map(|name| name.as_str().to_owned()).collect();
        match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write a name of the IANA database, for example \"Europe/Vienna\"".to_owned(),
        }
    })
}

fn read_zone(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<TimeZone> {
    let zone = zone_named(text.text);
    zone.map_err(|help| reading.error(format!("unknown time zone `{}`", text.text), text.span.clone(), help)).ok()
}

pub(super) fn read_moment(
    section: &mut Section<'_>,
    key: &'static str,
    zone: Option<&TimeZone>,
    reading: &mut Reading<'_>,
) -> Option<(Timestamp, Range<usize>)> {
    let value = section.value(key)?;
    let written = match value.get_ref() {
        DeValue::Datetime(written) => Ok(*written),
        DeValue::String(text) => text.parse::<Datetime>().map_err(|why| why.to_string()),
        other => {
            let expected = "a date or a moment: 2027-01-01, 2026-12-31T18:00:00+01:00";
            return reading.wrong_kind(key, expected, other, value.span());
        }
    };
    let zone = zone?;
    match written.and_then(|written| moment(&written, zone)) {
        Ok(moment) => Some((moment, value.span())),
        Err(why) => {
            let help = "write a date or a moment: 2027-01-01, 2026-12-31T18:00:00+01:00";
            reading.push(Diagnostic::error(format!("`{key}` is no moment: {why}")).help(help), value.span());
            None
        }
    }
}

/// The moment that is written; without an offset it is meant in `zone`, and a date is its midnight.
pub(super) fn moment(written: &Datetime, zone: &TimeZone) -> Result<Timestamp, String> {
    let date = written.date.ok_or("it has no date")?;
    let whole = |number: u8| i8::try_from(number).map_err(|error| error.to_string());
    let year = i16::try_from(date.year).map_err(|error| error.to_string())?;
    let date = civil::Date::new(year, whole(date.month)?, whole(date.day)?).map_err(|error| error.to_string())?;
    let (hour, minute, second) = match written.time {
        Some(time) => (whole(time.hour)?, whole(time.minute)?, whole(time.second.unwrap_or_default().min(59))?),
        None => (0, 0, 0),
    };
    let here = date.at(hour, minute, second, 0);
    let zone = match written.offset {
        None => zone.clone(),
        Some(Offset::Z) => TimeZone::UTC,
        Some(Offset::Custom { minutes }) => {
            jiff::tz::Offset::from_seconds(i32::from(minutes) * 60).map_err(|error| error.to_string())?.to_time_zone()
        }
    };
    // The last day that there is, which directories write for "without end", is over elsewhere after the last moment that there is.
    let moment = match here.to_zoned_datetime(zone) {
        Ok(zoned) => zoned.timestamp(),
        Err(_) if here.year() == civil::Date::MAX.year() => jiff::Timestamp::MAX,
        Err(error) => return Err(error.to_string()),
    };
    Ok(Timestamp::from_millis(moment.as_millisecond()))
}

fn read_day(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<Weekday> {
    let found = DAYS.iter().find(|(name, _)| *name == text.text).map(|(_, day)| *day);
    if found.is_none() {
        let names = DAYS.map(|(name, _)| name);
        unknown_name(reading, &format!("`{}` is no day", text.text), text.text, text.span.clone(), &names);
    }
    found
}

fn read_hours(text: &Text<'_>, reading: &mut Reading<'_>) -> Option<Hours> {
    let read = text.text.split_once('-').and_then(|(start, end)| Some((minutes(start)?, minutes(end)?)));
    match read {
        Some((start, end)) if start != end && start < DAY => Some(Hours { start, end }),
        Some(_) => {
            let help = "for example \"08:00-18:00\" or \"22:00-06:00\"; leave `hours` away for the whole day";
            reading.error(format!("`{}` is no part of a day", text.text), text.span.clone(), help);
            None
        }
        None => {
            let help = "write hours and minutes: \"08:00-18:00\", \"22:00-06:00\"";
            reading.error(format!("`{}` is no time of day", text.text), text.span.clone(), help);
            None
        }
    }
}

/// Minutes since midnight of `HH:MM`; `24:00` is the end of the day.
fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let two = |digits: &str| {
        let sound = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if sound { digits.parse::<u16>().ok() } else { None }
    };
    let (hour, minute) = (two(hour)?, two(minute)?);
    let sound = minute < 60 && (hour < 24 || (hour == 24 && minute == 0));
    sound.then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        moment(&text.parse().unwrap(), &TimeZone::UTC).unwrap()
    }

    fn zone(name: &str) -> TimeZone {
        TimeZoneDatabase::bundled().get(name).unwrap()
    }

    #[test]
    fn a_date_is_midnight_in_the_zone_and_an_offset_is_exact() {
        let vienna = zone("Europe/Vienna");
        let read = |text: &str| moment(&text.parse().unwrap(), &vienna).unwrap();
        assert_eq!(read("2027-01-01"), at("2026-12-31T23:00:00Z"));
        assert_eq!(read("2026-07-01"), at("2026-06-30T22:00:00Z"));
        assert_eq!(read("2026-12-31T18:00:00+01:00"), at("2026-12-31T17:00:00Z"));
        assert_eq!(read("2026-12-31T18:00:00"), at("2026-12-31T17:00:00Z"));
        assert_eq!(read("2026-12-31T18:00:00Z"), at("2026-12-31T18:00:00Z"));
        assert!(moment(&"08:00:00".parse().unwrap(), &vienna).is_err());
    }

    #[test]
    fn until_is_the_first_moment_no_more() {
        let until = Some(at("2027-01-01"));
        let schedule = Schedule { from: Some(at("2026-06-01")), until, ..Schedule::default() };
        let cases = [
            ("2026-05-31T23:59:59Z", Some("from")),
            ("2026-06-01T00:00:00Z", None),
            ("2026-12-31T23:59:59Z", None),
            ("2027-01-01T00:00:00Z", Some("until")),
        ];
        for (moment, expected) in cases {
            assert_eq!(schedule.refuses(at(moment)), expected, "{moment}");
        }
    }

    #[test]
    fn days_and_hours_are_those_of_the_zone() {
        let office = Schedule {
            days: vec![Weekday::Monday, Weekday::Friday],
            hours: vec![Hours { start: 8 * 60, end: 18 * 60 }],
            zone: zone("Europe/Vienna"),
            ..Schedule::default()
        };
        // 2026-11-23 is a Monday.
        let cases = [
            ("2026-11-23T06:59:59Z", Some("hours")),
            ("2026-11-23T07:00:00Z", None),
            ("2026-11-23T16:59:59Z", None),
            ("2026-11-23T17:00:00Z", Some("hours")),
            ("2026-11-24T09:00:00Z", Some("hours")),
            ("2026-07-03T06:00:00Z", None),
        ];
        for (moment, expected) in cases {
            assert_eq!(office.refuses(at(moment)), expected, "{moment}");
        }
        let days = Schedule { days: vec![Weekday::Tuesday], zone: zone("Pacific/Auckland"), ..Schedule::default() };
        assert_eq!(days.refuses(at("2026-11-23T12:00:00Z")), None);
        assert_eq!(days.refuses(at("2026-11-24T12:00:00Z")), Some("days"));
    }

    #[test]
    fn hours_across_midnight_belong_to_the_day_on_which_they_begin() {
        let night = Schedule {
            days: vec![Weekday::Friday],
            hours: vec![Hours { start: 22 * 60, end: 6 * 60 }],
            ..Schedule::default()
        };
        // 2026-11-27 is a Friday.
        let cases = [
            ("2026-11-27T05:00:00Z", Some("hours")),
            ("2026-11-27T21:59:00Z", Some("hours")),
            ("2026-11-27T22:00:00Z", None),
            ("2026-11-28T05:59:00Z", None),
            ("2026-11-28T06:00:00Z", Some("hours")),
            ("2026-11-28T23:00:00Z", Some("hours")),
        ];
        for (moment, expected) in cases {
            assert_eq!(night.refuses(at(moment)), expected, "{moment}");
        }
    }

    #[test]
    fn times_of_day_are_read_exactly() {
        assert_eq!((minutes("00:00"), minutes("08:30"), minutes("24:00")), (Some(0), Some(510), Some(1440)));
        for bad in ["8:30", "08:60", "24:01", "25:00", "", "0830", "+8:00", "08:3"] {
            assert_eq!(minutes(bad), None, "{bad}");
        }
    }
}

//! Functions of time: moments are seconds since 1970, and what a clock on the wall shows depends on a zone.
//!
//! Names and counting are CEL's: months, days of the year and [`get_day_of_month`] begin at 0, [`get_date`] at 1, and Sunday is
//! day 0. A zone is a literal; without one it is UTC.
//!
//! May touch: nothing; the time is handed in. Trust boundary: moments may come from claims.
//! Specification: the Common Expression Language, timestamps; RFC 3339; the IANA time-zone database.

use cel::ExecutionError;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use toml::value::Datetime;

use super::super::constant::Constant;
use super::{Answer, Arguments, Call, give_number};
use crate::policy::schedule::moment;

/// What a text of time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum TimeText {
    /// `2026-12-31`
    Date,
    /// `2026-12-31T18:00:00+01:00`
    Moment,
    /// `1h 30m`
    Duration,
}

/// The longest text that is read as a time, in bytes.
const MAX_WRITTEN: usize = 64;

/// The seconds that a text stands for: since 1970, or of a duration.
pub(in super::super) fn time_of(kind: TimeText, text: &str, zone: &TimeZone) -> Result<i64, &'static str> {
    if text.len() > MAX_WRITTEN {
        return Err(expected(kind));
    }
    if kind == TimeText::Duration {
        let duration = humantime::parse_duration(text).map_err(|_| expected(kind))?;
        return i64::try_from(duration.as_secs()).map_err(|_| expected(kind));
    }
    let written: Datetime = text.parse().map_err(|_| expected(kind))?;
    if written.date.is_none() || (kind == TimeText::Date) != written.time.is_none() {
        return Err(expected(kind));
    }
    moment(&written, zone).map(|moment| moment.seconds()).map_err(|_| expected(kind))
}

const fn expected(kind: TimeText) -> &'static str {
    match kind {
        TimeText::Date => "this is no date such as 2026-12-31",
        TimeText::Moment => "this is no moment such as 2026-12-31T18:00:00+01:00",
        TimeText::Duration => "this is no length of time such as 30m",
    }
}

pub(super) fn date<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    read(&Call::new("date", &arguments)?, TimeText::Date)
}

pub(super) fn timestamp<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    read(&Call::new("timestamp", &arguments)?, TimeText::Moment)
}

pub(super) fn duration<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    read(&Call::new("duration", &arguments)?, TimeText::Duration)
}

fn read<'b, 'v>(call: &Call<'_, '_, '_>, kind: TimeText) -> Answer<'b, 'v> {
    let zone = if kind == TimeText::Duration { &TimeZone::UTC } else { zone(call)? };
    give_number(time_of(kind, call.text(0)?, zone).map_err(|why| call.failed(why))?)
}

fn zone<'a>(call: &Call<'a, '_, '_>) -> Result<&'a TimeZone, ExecutionError> {
    match call.any(1)?.downcast_ref::<Constant>() {
        Some(Constant::Zone(zone)) => Ok(zone),
        _ => Err(call.wrong_type()),
    }
}

/// What the clock on the wall shows.
fn shown<'b, 'v>(
    name: &'static str,
    arguments: &Arguments<'b, 'v>,
    part: impl FnOnce(DateTime) -> i64,
) -> Answer<'b, 'v> {
    let call = Call::new(name, arguments)?;
    call.budget.spend(1)?;
    let moment = jiff::Timestamp::from_second(call.number(0)?).map_err(|_| call.failed("this is no moment"))?;
    give_number(part(zone(&call)?.to_datetime(moment)))
}

pub(super) fn get_full_year<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    shown("getFullYear", &arguments, |shown| shown.year().into())
}

pub(super) fn get_month<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    shown("getMonth", &arguments, |shown| i64::from(shown.month()) - 1)
}

pub(super) fn get_date<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    shown("getDate", &arguments, |shown| shown.day().into())
}

pub(super) fn get_day_of_month<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    shown("getDayOfMonth", &arguments, |shown| i64::from(shown.day()) - 1)
}

pub(super) fn get_day_of_week<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    shown("getDayOfWeek", &arguments, |shown| shown.weekday().to_sunday_zero_offset().into())
}

pub(super) fn get_day_of_year<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    shown("getDayOfYear", &arguments, |shown| i64::from(shown.day_of_year()) - 1)
}

pub(super) fn get_hours<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    shown("getHours", &arguments, |shown| shown.hour().into())
}

pub(super) fn get_minutes<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    shown("getMinutes", &arguments, |shown| shown.minute().into())
}

pub(super) fn get_seconds<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    shown("getSeconds", &arguments, |shown| shown.second().into())
}

/// Always 0: a moment is whole seconds here.
pub(super) fn get_milliseconds<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    shown("getMilliseconds", &arguments, |shown| shown.millisecond().into())
}

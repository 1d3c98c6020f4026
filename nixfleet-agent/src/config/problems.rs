//! Collecting every problem of the settings instead of stopping at the first.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::values::{ValueError, absolute_path, duration};

/// One setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The environment variable.
    pub variable: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.message)
    }
}

#[derive(Default)]
pub(super) struct Problems(pub Vec<Problem>);

impl Problems {
    pub fn add(&mut self, variable: &'static str, message: impl Into<String>) {
        self.0.push(Problem {
            variable,
            message: message.into(),
        });
    }

    pub fn take<T>(&mut self, variable: &'static str, result: Result<T, ValueError>) -> Option<T> {
        result
            .map_err(|ValueError(message)| self.add(variable, message))
            .ok()
    }

    pub fn parsed<T: FromStr>(
        &mut self,
        variable: &'static str,
        value: &Option<String>,
    ) -> Option<T>
    where
        T::Err: fmt::Display,
    {
        let parsed = set(value)?.parse::<T>();
        self.take(variable, parsed.map_err(|e| ValueError(e.to_string())))
    }

    pub fn required<T: FromStr>(
        &mut self,
        variable: &'static str,
        value: &Option<String>,
        advice: &str,
    ) -> Option<T>
    where
        T::Err: fmt::Display,
    {
        if set(value).is_none() {
            self.add(variable, advice);
        }
        self.parsed(variable, value)
    }

    pub fn path(&mut self, variable: &'static str, value: &Option<String>) -> Option<PathBuf> {
        let path = absolute_path(set(value)?);
        self.take(variable, path)
    }

    pub fn time(
        &mut self,
        variable: &'static str,
        value: &Option<String>,
        default: u64,
        allowed: std::ops::RangeInclusive<u64>,
    ) -> Duration {
        let default = Duration::from_secs(default);
        let Some(text) = set(value) else {
            return default;
        };
        match self.take(variable, duration(text)) {
            Some(time) if allowed.contains(&time.as_secs()) => time,
            Some(_) => {
                let (least, most) = allowed.into_inner();
                self.add(
                    variable,
                    format!("{text:?} is not between {least} s and {most} s"),
                );
                default
            }
            None => default,
        }
    }
}

/// A value that is set; empty text counts as not set.
pub(super) fn set(value: &Option<String>) -> Option<&str> {
    value
        .as_deref()
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

//! What the demo prints.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use nixfleet_core::{Compartment, Status};

use super::rows::Situation;

/// Where it is printed.
#[derive(Debug)]
pub struct Screen {
    colours: bool,
}

impl Screen {
    /// Standard output, in colours if it is a terminal and nobody objects.
    #[must_use]
    pub fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            colours: wanted && std::io::stdout().is_terminal(),
        }
    }

    /// A line.
    pub fn say(&self, line: &str) {
        // If nobody reads it, the demo still has its exit code.
        let _ = writeln!(std::io::stdout(), "{line}");
    }

    /// The rows of all hosts.
    pub fn rows(&self, rows: &BTreeMap<&str, Situation>) {
        let width = rows.keys().map(|host| host.len()).max().unwrap_or(0).max(8);
        let names = Compartment::ALL.map(|compartment| format!("{:10}", compartment.name()));
        self.say(&format!("      {:width$}  {}", "", names.concat()));
        for (host, situation) in rows {
            let dots = situation.row().0.map(|status| self.dot(status));
            let words = situation.words();
            self.say(&format!("      {host:width$}  {}{words}", dots.concat()));
        }
    }

    fn dot(&self, status: Status) -> String {
        let name = status.name();
        if !self.colours {
            return format!("{name:10}");
        }
        let colour = match status {
            Status::Unknown => 90,
            Status::Ok => 32,
            Status::Outdated => 33,
            Status::Error => 31,
            Status::Working => 34,
        };
        format!("\u{1b}[{colour}m● {name:8}\u{1b}[0m")
    }
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

//! A table as text: columns, rows, and how they are written in Markdown.

/// One table, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// Stable name.
    pub id: &'static str,
    /// Heading.
    pub title: &'static str,
    /// A sentence or two about how to read it.
    pub about: &'static str,
    /// Names of the columns.
    pub columns: &'static [&'static str],
    /// One entry per column and row; names of code stand in backticks.
    pub rows: Vec<Vec<String>>,
}

impl Sheet {
    /// The name of the heading in links.
    #[must_use]
    pub fn anchor(&self) -> String {
        let kept = self.title.chars().filter_map(|c| match c {
            ' ' => Some('-'),
            '-' => Some('-'),
            c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
            _ => None,
        });
        kept.collect()
    }

    /// The table in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = line(self.columns.iter().map(|name| (*name).to_owned()));
        text.push_str(&line(self.columns.iter().map(|_| "---".to_owned())));
        for row in &self.rows {
            text.push_str(&line(row.iter().map(|cell| escaped(cell))));
        }
        text
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.collect();
    format!("| {} |\n", cells.join(" | "))
}

fn escaped(cell: &str) -> String {
    cell.replace('|', "\\|").replace('\n', " ")
}

/// A name of code.
pub(super) fn code(name: &str) -> String {
    format!("`{name}`")
}

/// Names of code, one after the other; `–` if there are none.
pub(super) fn codes<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| code(name.as_ref())).collect();
    if names.is_empty() {
        "–".to_owned()
    } else {
        names.join(", ")
    }
}

/// `yes`, or nothing.
pub(super) fn yes(value: bool) -> String {
    if value { "yes" } else { "" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cannot_break_out_of_their_table() {
        let sheet = Sheet {
            id: "x",
            title: "One thing: and-another",
            about: "",
            columns: &["a", "b"],
            rows: vec![vec!["{x|commit}".to_owned(), codes(["p", "q"])]],
        };
        assert_eq!(sheet.anchor(), "one-thing-and-another");
        assert_eq!(
            sheet.markdown(),
            "| a | b |\n| --- | --- |\n| {x\\|commit} | `p`, `q` |\n"
        );
        assert_eq!(codes(Vec::<String>::new()), "–");
    }
}

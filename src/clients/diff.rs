//! What changes between two texts, line by line, for people.

/// More lines than this in the part that differs are shown as removed and added whole.
const MOST: usize = 2000;

/// A line that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// It comes in.
    Added(String),
    /// It goes.
    Removed(String),
}

/// The lines that differ, in order; what stays is left out.
pub fn diff(before: &str, after: &str) -> Vec<Line> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
    let (old, new) = (&old[same..], &new[same..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(one, other)| one == other).count();
    let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);
    if old.len() > MOST || new.len() > MOST {
        let removed = old.iter().map(|line| Line::Removed((*line).to_owned()));
        return removed.chain(new.iter().map(|line| Line::Added((*line).to_owned()))).collect();
    }
    walk(old, new, &common(old, new))
}

/// `common[i][j]`: the most lines that `old[i..]` and `new[j..]` share in order.
fn common(old: &[&str], new: &[&str]) -> Vec<Vec<usize>> {
    let mut common = vec![vec![0; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = match old[i] == new[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    common
}

fn walk(old: &[&str], new: &[&str], common: &[Vec<usize>]) -> Vec<Line> {
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(Line::Removed(old[i].to_owned()));
            i += 1;
        } else {
            lines.push(Line::Added(new[j].to_owned()));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown_in_order() {
        let shown = |before: &str, after: &str| -> String {
            let line = |line: &Line| match line {
                Line::Added(line) => format!("+{line} "),
                Line::Removed(line) => format!("-{line} "),
            };
            diff(before, after).iter().map(line).collect()
        };
        for (before, after, expected) in [
            ("", "", ""),
            ("a\nb\n", "a\nb\n", ""),
            ("", "a\nb\n", "+a +b "),
            ("a\nb\n", "", "-a -b "),
            ("a\nb\nc\n", "a\nx\nc\n", "-b +x "),
            ("a\nc\ne\n", "a\nb\nc\nd\ne\n", "+b +d "),
            ("one\ntwo\nthree\nfour\n", "zero\ntwo\nfour\nfive\n", "-one +zero -three +five "),
        ] {
            assert_eq!(shown(before, after), expected, "{before:?} {after:?}");
        }
    }

    #[test]
    fn a_great_difference_is_shown_whole() {
        let before: String = (0..3000).map(|n| format!("a{n}\n")).collect();
        assert_eq!(diff(&before, "b\n").len(), 3001);
    }
}

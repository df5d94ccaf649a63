//! Numbers out of numbers: medians, percentiles, ratios, how far runs are apart.

/// The middle of `values`, the mean of the two middles where there are two; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.get(sorted.len() / 2), sorted.get(sorted.len().wrapping_sub(1) / 2)) {
        (Some(upper), Some(lower)) => f64::midpoint(*upper, *lower),
        (Some(_) | None, _) => 0.0,
    }
}

/// The smallest of `sorted` that at least `share` of them do not exceed (nearest rank); 0 of none.
pub fn percentile(sorted: &[u64], share: f64) -> u64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).or(sorted.last()).copied().unwrap_or(0)
}

/// What many measurements of the same thing come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The mean of the middle half: what is far off does not count, and the rest does, not only the one in the middle.
    pub middle: f64,
    /// A quarter of them are smaller.
    pub low: f64,
    /// A quarter of them are greater.
    pub high: f64,
    /// How many they are.
    pub count: usize,
}

/// The standard error of the mean of a middle half, for one value and a half that is 1 wide: such a mean varies 1.19 times as
/// much as that of all, where values are normal, whose middle half is 1.349 standard deviations wide.
const ERROR: f64 = 0.81;

impl Summary {
    /// Of `values`; none of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let outside = sorted.len() / 4;
        let half = &sorted[outside..sorted.len() - outside];
        let (low, high) = (*half.first()?, *half.last()?);
        let middle = half.iter().sum::<f64>() / half.len() as f64;
        Some(Self { middle, low, high, count: values.len() })
    }

    /// How uncertain `middle` is: its standard error, as a share of it.
    pub fn error(&self) -> f64 {
        ERROR * (self.high - self.low) / (self.count as f64).sqrt() / self.middle
    }
}

/// How far `values` are apart: the greatest less the smallest, as a share of their median; 0 of none.
pub fn apart(values: &[f64]) -> f64 {
    let middle = median(values);
    let [least, most] =
        [f64::min, f64::max].map(|pick| values.iter().copied().reduce(pick).unwrap_or(middle));
    if middle == 0.0 { 0.0 } else { (most - least) / middle }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_whatever_the_order() {
        for (values, middle) in
            [(vec![], 0.0), (vec![3.0], 3.0), (vec![9.0, 1.0, 2.0], 2.0), (vec![4.0, 1.0, 3.0, 2.0], 2.5)]
        {
            assert_eq!(median(&values), middle, "{values:?}");
        }
    }

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let hundred: Vec<u64> = (1..=100).collect();
        for (share, value) in [(0.0, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100)] {
            assert_eq!(percentile(&hundred, share), value, "{share}");
        }
        assert_eq!(percentile(&[], 0.5), 0);
        assert_eq!(percentile(&[7], 0.01), 7);
    }

    #[test]
    fn a_summary_is_the_mean_of_the_middle_half_and_its_ends() {
        let summary = Summary::of(&[90.0, 3.0, 2.0, 5.0, 1.0, 4.0, 0.0, 6.0]);
        assert_eq!(summary, Some(Summary { middle: 3.5, low: 2.0, high: 5.0, count: 8 }));
        assert_eq!(Summary::of(&[7.0]), Some(Summary { middle: 7.0, low: 7.0, high: 7.0, count: 1 }));
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn an_error_halves_with_four_times_the_values() {
        let summary = |count| Summary { middle: 2.0, low: 1.5, high: 2.5, count };
        assert!((summary(25).error() - 0.081).abs() < 1e-9);
        assert!((summary(100).error() - 0.0405).abs() < 1e-9);
    }

    #[test]
    fn values_are_as_far_apart_as_their_ends() {
        assert_eq!(apart(&[100.0, 105.0, 98.0]), 0.07);
        assert_eq!((apart(&[]), apart(&[3.0])), (0.0, 0.0));
    }
}

//! What a gateway's `/metrics` say: values by name and labels.

use std::collections::BTreeMap;

/// One look.
#[derive(Debug, Default)]
pub(super) struct Series(BTreeMap<String, String>);

impl Series {
    /// Reads the text format of Prometheus.
    pub(super) fn read(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = samples.filter_map(|line| line.rsplit_once(' '));
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The whole number of one series, labels written as they are shown.
    pub(super) fn value(&self, series: &str) -> Option<u64> {
        self.0.get(series)?.parse().ok()
    }

    /// The values of a family, by one of its labels.
    pub(super) fn by(&self, family: &str, label: &str) -> BTreeMap<usize, u64> {
        let of = |(series, value): (&String, &String)| {
            let labels = series.strip_prefix(family)?.strip_prefix('{')?;
            Some((label_of(labels, label)?.parse().ok()?, value.parse().ok()?))
        };
        self.0.iter().filter_map(of).collect()
    }

    /// What a label says of the only series of a family.
    pub(super) fn label(&self, family: &str, label: &str) -> Option<&str> {
        let mut labels = self.0.keys().filter_map(|series| series.strip_prefix(family));
        label_of(labels.find(|labels| labels.starts_with('{'))?, label)
    }
}

/// The value of a label; none here has a quote in it.
fn label_of<'a>(labels: &'a str, label: &str) -> Option<&'a str> {
    let mut pairs = labels.trim_matches(['{', '}']).split(',');
    pairs.find_map(|pair| pair.strip_prefix(label)?.strip_prefix("=\"")?.strip_suffix('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_name_and_by_label() {
        let text = "# HELP weir_shard_node The node.\n# TYPE weir_shard_node gauge\n\
            weir_shard_node{shard=\"0\"} 0\nweir_shard_node{shard=\"2\"} 1\n\
            weir_shard_nodes{shard=\"9\"} 9\nweir_connections 12\n\
            weir_steer_mode{xdp=\"native\",selector=\"program\"} 1\n";
        let series = Series::read(text);
        assert_eq!(series.value("weir_connections"), Some(12));
        assert_eq!(series.value("weir_shard_node{shard=\"2\"}"), Some(1));
        assert_eq!(series.by("weir_shard_node", "shard"), BTreeMap::from([(0, 0), (2, 1)]));
        assert_eq!(series.label("weir_steer_mode", "selector"), Some("program"));
        assert_eq!(series.label("weir_steer_mode", "balance"), None);
    }
}

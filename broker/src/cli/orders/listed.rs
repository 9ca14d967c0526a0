//! A whole list of the API, and what of it is wanted. Shows nothing.

use clap::Args;
use serde_json::Value;

use super::told::number;
use crate::cli::remote::{Api, Trouble};

/// All items of a list.
pub(super) fn listed(api: &Api, path: &str, said: &[(&str, &str)]) -> Result<Vec<Value>, Trouble> {
    let mut all = Vec::new();
    api.pages(path, said, &mut |items| {
        all.extend(items);
        true
    })?;
    Ok(all)
}

/// Which readers are wanted of a list of them.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct Sifted {
    /// Only those that are more records behind than this.
    #[arg(long, value_name = "RECORDS")]
    lag_over: Option<u64>,
    /// Only so many.
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
}

impl Sifted {
    /// Leaves those that are far enough behind.
    pub(super) fn sift(self, items: &mut Vec<Value>) {
        if let Some(over) = self.lag_over {
            items.retain(|item| number(&item["lag"], "records") > over);
        }
    }

    /// Leaves as many as are wanted, once they are in order.
    pub(super) fn cut(self, items: &mut Vec<Value>) {
        if let Some(limit) = self.limit {
            items.truncate(limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Sifted;

    #[test]
    fn who_is_not_far_enough_behind_is_left_out_before_the_rest_is_counted() {
        let lags = [0, 5, 6, 9];
        let items: Vec<Value> = lags.map(|lag| json!({ "lag": { "records": lag } })).to_vec();
        for (lag_over, limit, expected) in
            [(None, None, 4), (Some(5), None, 2), (Some(5), Some(1), 1), (Some(9), None, 0)]
        {
            let (sifted, mut left) = (Sifted { lag_over, limit }, items.clone());
            sifted.sift(&mut left);
            sifted.cut(&mut left);
            assert_eq!(left.len(), expected, "{lag_over:?} {limit:?}");
        }
    }
}

//! A group in words: a consumer group as Kafka's own tool shows it, and a share group. Moves none.

use serde_json::{Value, json};

use super::listed::listed;
use super::table::{Table, number as numbers, words};
use super::told::{lag, text};
use crate::cli::remote::{Api, Trouble};

/// Whether a name is that of a share group.
pub(super) fn is_share(group: &str) -> bool {
    group.starts_with("$share/")
}

/// All share groups, with the fields that all groups have.
pub(super) fn share_groups(api: &Api) -> Result<Vec<Value>, Trouble> {
    let mut items = listed(api, "/api/v1/share-groups", &[])?;
    for item in &mut items {
        item["name"] = item["filter"].clone();
        item["kind"] = json!("share");
        let is_empty = item["members"] == 0;
        item["state"] = json!(if is_empty { "Empty" } else { "Stable" });
    }
    Ok(items)
}

/// One of them.
pub(super) fn share_group(api: &Api, filter: &str) -> Result<Value, Trouble> {
    let found = share_groups(api)?.into_iter().find(|item| item["filter"] == filter);
    found.ok_or_else(|| {
        let words = format!("there is no share group {filter:?}");
        Trouble::broker(format!("{words}\n  try: `tidewire groups ls`"))
    })
}

/// All about a group.
pub(super) fn described(group: &Value) -> String {
    if group["kind"] == "share" {
        return shared(group);
    }
    let members = group["members"].as_array().map_or(&[][..], Vec::as_slice);
    let [records, time, loss] = lag(&group["lag"]);
    let loss = if loss == "-" { "nothing is about to be lost".into() } else { lost(&loss) };
    let head = format!(
        "{} ({}): {}, {}; {records} behind, {time}; {loss}",
        text(group, "name"),
        text(group, "kind"),
        text(group, "state"),
        match members.len() {
            1 => "1 member".into(),
            many => format!("{many} members"),
        },
    );
    let mut table = Table::new([
        words("GROUP"),
        words("TOPIC"),
        numbers("PARTITION"),
        numbers("CURRENT-OFFSET"),
        numbers("LOG-END-OFFSET"),
        numbers("LAG"),
        words("CONSUMER-ID"),
        words("HOST"),
        words("CLIENT-ID"),
        numbers("TIME-LAG"),
        numbers("LOSS-IN"),
    ]);
    for part in group["offsets"].as_array().into_iter().flatten() {
        let member = members.iter().find(|member| member["id"] == part["member"]);
        let of_member = |field| member.map_or_else(|| "-".into(), |member| text(member, field));
        let [records, time, loss] = lag(&part["lag"]);
        table.push([
            text(group, "name"),
            text(part, "stream"),
            text(part, "partition"),
            text(part, "offset"),
            text(part, "end_offset"),
            records,
            of_member("id"),
            of_member("host"),
            of_member("client_id"),
            time,
            loss,
        ]);
    }
    // Members that have nothing to read are members all the same.
    let read = group["offsets"].as_array().map_or(&[][..], Vec::as_slice);
    for member in members.iter().filter(|one| read.iter().all(|it| it["member"] != one["id"])) {
        let mut row = [const { String::new() }; 11];
        row[0] = text(group, "name");
        for (cell, field) in row[6..9].iter_mut().zip(["id", "host", "client_id"]) {
            *cell = text(member, field);
        }
        table.push(row);
    }
    format!("{head}\n\n{}", table.text())
}

fn lost(loss: &str) -> String {
    format!("LOSES DATA in {loss}")
}

fn shared(group: &Value) -> String {
    let mut table = Table::new([
        words("GROUP"),
        numbers("MEMBERS"),
        numbers("HANDED-OUT"),
        numbers("WAITING"),
        numbers("ATTEMPTS-MAX"),
        numbers("LAG"),
        numbers("TIME-LAG"),
        numbers("LOSS-IN"),
    ]);
    let [records, time, loss] = lag(&group["lag"]);
    let [name, members, handed, waiting, attempts] =
        ["name", "members", "handed", "waiting", "attempts_max"].map(|field| text(group, field));
    table.push([name, members, handed, waiting, attempts, records, time, loss]);
    table.text()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::described;

    fn group(loses: Option<u64>) -> Value {
        let behind = json!({ "records": 3, "seconds": 75, "loses_in_seconds": loses });
        json!({
            "name": "analytics",
            "kind": "classic",
            "state": "Stable",
            "members": [
                { "id": "m-1", "client_id": "laptop", "host": "/192.0.2.7", "lag": behind },
                { "id": "m-2", "client_id": "idle", "host": "/192.0.2.8", "lag": behind },
            ],
            "offsets": [
                {
                    "stream": "mqtt", "partition": 0, "offset": 7, "end_offset": 10,
                    "lag": behind, "member": "m-1",
                },
                {
                    "stream": "mqtt", "partition": 1, "offset": null, "end_offset": 4,
                    "lag": null, "member": "m-1",
                },
            ],
            "lag": behind,
        })
    }

    #[test]
    fn a_group_has_the_columns_of_kafkas_tool_and_when_it_loses_data() {
        let shown = described(&group(Some(10_800)));
        let lines: Vec<Vec<&str>> =
            shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(shown.starts_with(
            "analytics (classic): Stable, 2 members; 3 behind, 1m 15s; LOSES DATA in 3h\n\n"
        ));
        let names = "GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST \
                     CLIENT-ID TIME-LAG LOSS-IN";
        assert_eq!(lines[2].join(" "), names);
        let first = "analytics mqtt 0 7 10 3 m-1 /192.0.2.7 laptop 1m 15s 3h";
        assert_eq!(lines[3].join(" "), first);
        assert_eq!(lines[4].join(" "), "analytics mqtt 1 - 4 - m-1 /192.0.2.7 laptop - -");
        assert_eq!(lines[5].join(" "), "analytics - - - - - m-2 /192.0.2.8 idle - -");
    }

    #[test]
    fn a_group_that_loses_nothing_says_so() {
        assert!(described(&group(None)).contains("nothing is about to be lost"));
    }
}

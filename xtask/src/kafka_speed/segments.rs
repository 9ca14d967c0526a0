//! How what is read lies in this broker's log. Data, and what the broker is told; writes nothing.

/// Short ones are soon sealed, and written anew with large batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Segments<'a> {
    pub(super) are_short: bool,
    /// How sealed ones are packed.
    pub(super) compression: Option<&'a str>,
}

const SHORT_BYTES: u64 = 16 << 20;

impl Segments<'_> {
    /// A configuration file.
    pub(super) fn settings(&self) -> String {
        let mut settings = String::new();
        if self.are_short {
            settings += &format!("[store]\nsegment_bytes_max = {SHORT_BYTES}\n");
        }
        if let Some(codec) = self.compression {
            settings += "[[stream]]\nname = \"mqtt\"\nfilters = [\"#\"]\n";
            settings += &format!("compression = \"{codec}\"\n");
        }
        settings
    }
}

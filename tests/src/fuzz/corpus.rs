//! Inputs worth changing, one per line of a file in hex. Decides what is kept, not why.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::hex;

/// What may be written back into the source tree, in bytes.
const FILE_BYTES_MAX: usize = 96 * 1024;

/// The inputs of a run.
#[derive(Debug)]
pub struct Corpus {
    inputs: Vec<Vec<u8>>,
    known: HashSet<Vec<u8>>,
    path: Option<PathBuf>,
}

impl Corpus {
    /// Nothing but the seeds.
    #[must_use]
    pub fn empty() -> Self {
        Self { inputs: Vec::new(), known: HashSet::new(), path: None }
    }

    /// As it lies in a file, if it is there.
    ///
    /// # Panics
    /// When a line is not understood.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let inputs = lines.map(|line| hex::parse(line).expect("a corpus is hex")).collect();
        Self { inputs, path: Some(path.to_path_buf()), ..Self::empty() }
    }

    /// With these besides.
    #[must_use]
    pub fn with(mut self, seeds: Vec<Vec<u8>>) -> Self {
        self.inputs.extend(seeds);
        self
    }

    /// What there is so far.
    #[must_use]
    pub fn inputs(&self) -> &[Vec<u8>] {
        &self.inputs
    }

    /// Hands out all to be looked at anew: what still leads to something comes back by `keep`.
    pub(super) fn begin(&mut self, seeds: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let mut all = seeds;
        all.append(&mut self.inputs);
        // Small ones first: they win where others lead to the same.
        all.sort_by_key(Vec::len);
        all
    }

    pub(super) fn keep(&mut self, input: Vec<u8>) {
        if self.known.insert(input.clone()) {
            self.inputs.push(input);
        }
    }

    /// Writes it back, the small ones of it as far as there is room.
    ///
    /// # Panics
    /// When it came from no file, or the file cannot be written.
    pub fn save(&self) {
        let path = self.path.as_ref().expect("a corpus of a file");
        let mut text = "# Inputs of the fuzzer, kept by it: cargo xtask fuzz\n".to_owned();
        let mut inputs: Vec<&Vec<u8>> = self.inputs.iter().collect();
        inputs.sort_by_key(|input| (input.len(), *input));
        for input in inputs.iter().filter(|input| !input.is_empty()) {
            let line: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
            if text.len() + line.len() >= FILE_BYTES_MAX {
                break;
            }
            text += &line;
            text.push('\n');
        }
        fs::write(path, text).expect("the corpus can be written");
    }
}

#[cfg(test)]
mod tests {
    use super::Corpus;

    #[test]
    fn what_is_saved_is_read_again_small_ones_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("corpus");
        let mut corpus = Corpus::read(&path);
        for input in [&[1, 2, 3][..], &[9], &[], &[9]] {
            corpus.keep(input.to_vec());
        }
        corpus.save();
        assert_eq!(Corpus::read(&path).inputs(), [vec![9], vec![1, 2, 3]]);
    }
}

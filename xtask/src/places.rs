//! Where things lie in the workspace. Never creates or changes anything.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The folders and programs that the steps share.
pub(crate) struct Places {
    root: PathBuf,
    target: PathBuf,
}

impl Places {
    /// The workspace that this program was built from.
    pub(crate) fn find() -> Self {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = package.parent().unwrap_or(package).to_path_buf();
        let target = env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |chosen| root.join(chosen));
        Self { root, target }
    }

    /// The folder of the root Cargo.toml.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The broker as it is released, once it is built.
    pub(crate) fn released_broker(&self) -> PathBuf {
        self.release_folder().join("tidewire")
    }

    /// Where it is built, counted and built again.
    pub(crate) fn release_folder(&self) -> PathBuf {
        self.target.join("released")
    }

    /// The hot paths whose instructions are counted, once they are built.
    pub(crate) fn hot_paths(&self) -> PathBuf {
        self.target.join("gate/tidewire-gate")
    }

    /// The cargo that started us.
    pub(crate) fn cargo(&self) -> OsString {
        env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
    }

    /// What pins the Python packages.
    pub(crate) fn python_pins(&self) -> PathBuf {
        self.root.join("tests/clients/requirements.txt")
    }

    /// What pins the npm packages: `package.json` and its lock file.
    pub(crate) fn node_pins(&self) -> PathBuf {
        self.root.join("tests/clients/node")
    }

    /// Where programs are installed that are not ours.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// Where Mosquitto's broker is unpacked.
    pub(crate) fn mosquitto_folder(&self) -> PathBuf {
        self.target.join("tools/mosquitto")
    }

    /// The virtual environment of the Python clients.
    pub(crate) fn python_folder(&self) -> PathBuf {
        self.target.join("tools/py")
    }

    /// The interpreter of that environment.
    pub(crate) fn python(&self) -> PathBuf {
        self.python_folder().join("bin/python")
    }

    /// Where the npm packages are installed.
    pub(crate) fn node_folder(&self) -> PathBuf {
        self.target.join("tools/node")
    }

    /// Where node finds the npm packages.
    pub(crate) fn node_modules(&self) -> PathBuf {
        self.node_folder().join("node_modules")
    }

    /// What pins the jars: `pom.xml`; beside it are the programs that call them.
    pub(crate) fn java_sources(&self) -> PathBuf {
        self.root.join("tests/clients/java")
    }

    /// Where the jars and the classes of those programs are.
    pub(crate) fn java_folder(&self) -> PathBuf {
        self.target.join("tools/java")
    }

    /// The Go program and what pins its modules: `go.mod` and `go.sum`.
    pub(crate) fn go_sources(&self) -> PathBuf {
        self.root.join("tests/clients/go")
    }

    /// Where that program is built.
    pub(crate) fn go_folder(&self) -> PathBuf {
        self.target.join("tools/go")
    }

    /// The Rust program, a workspace of its own, with its `Cargo.lock`.
    pub(crate) fn rust_sources(&self) -> PathBuf {
        self.root.join("tests/clients/rust")
    }

    /// Where that program is built.
    pub(crate) fn rust_folder(&self) -> PathBuf {
        self.target.join("tools/rust")
    }
}

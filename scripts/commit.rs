//! The build script: tells the program which commit it is built from (`COLTAPE_COMMIT`, shown as `coltape_build_info{commit}`).
//!
//! `COLTAPE_COMMIT` of the environment counts where it is set. Else it is what git says of a checkout whose top is this package, with `-changed` behind it
//! where a file that the program is made of is not as committed. Outside of a checkout, and where there is no git, it is `unknown`.
//!
//! Cargo runs it again when a file that the program is made of changes, as the program is built again then, and when HEAD moves, which git's own log of
//! HEAD shows. A path that is not there is never named: cargo would run the script at every build.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the program is made of.
const SOURCES: [&str; 4] = ["src", "Cargo.toml", "Cargo.lock", "scripts/commit.rs"];

fn main() {
    println!("cargo:rerun-if-env-changed=COLTAPE_COMMIT");
    let dir = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| ".".into()));
    let git = Git { dir };
    let is_checkout = git.is_checkout();
    let sources = SOURCES.iter().map(|source| git.dir.join(source));
    let heads = is_checkout.then(|| git.head_files()).into_iter().flatten();
    for path in sources.chain(heads).filter(|path| path.exists()) {
        println!("cargo:rerun-if-changed={}", path.display());
    }
    let given = std::env::var("COLTAPE_COMMIT").ok().filter(|given| !given.trim().is_empty());
    let found = is_checkout.then(|| git.commit()).flatten();
    let commit = given.or(found).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=COLTAPE_COMMIT={}", commit.lines().next().unwrap_or_default().trim());
}

/// The git of a folder.
struct Git {
    dir: PathBuf,
}

impl Git {
    /// Gives what git prints; nothing where it fails, or where there is none.
    fn ask(&self, args: &[&str]) -> Option<String> {
        let mut git = Command::new("git");
        git.arg("--no-optional-locks").arg("-C").arg(&self.dir).args(args);
        // A hook of git's has them set, for another folder perhaps.
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX"] {
            git.env_remove(name);
        }
        let output = git.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim_end().to_owned())
    }

    /// Tells whether this package is the checkout itself, not a folder somewhere in another one.
    fn is_checkout(&self) -> bool {
        let top = self.ask(&["rev-parse", "--show-toplevel"]).and_then(|top| Path::new(&top).canonicalize().ok());
        top.is_some() && top == self.dir.canonicalize().ok()
    }

    /// Gives the commit's short name, marked where a source differs from it.
    fn commit(&self) -> Option<String> {
        let commit = self.ask(&["rev-parse", "--short", "HEAD"])?;
        let changed = self.ask(&[&["status", "--porcelain", "--"][..], &SOURCES].concat())?;
        Some(if changed.is_empty() { commit } else { format!("{commit}-changed") })
    }

    /// Gives the files that change when HEAD moves: git's log of HEAD, and where it keeps none, the branch.
    fn head_files(&self) -> Vec<PathBuf> {
        let path = |name: &str| Some(self.dir.join(self.ask(&["rev-parse", "--git-path", name])?));
        if let Some(log) = path("logs/HEAD").filter(|log| log.exists()) {
            return vec![log];
        }
        let branch = self.ask(&["symbolic-ref", "-q", "HEAD"]);
        let files = [Some("HEAD"), branch.as_deref(), Some("packed-refs")].into_iter().flatten().filter_map(path);
        // A packed branch gets a file of its own when it moves.
        files.map(|file| if file.exists() { file } else { file.parent().map(Path::to_owned).unwrap_or(file) }).collect()
    }
}

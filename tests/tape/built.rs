//! The build script: the commit that it finds in checkouts of all kinds, and the files that have cargo run it again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The build script as a program. It is compiled once.
fn script(folder: &Path) -> PathBuf {
    let program = folder.join("commit");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/commit.rs");
    let compiled = Command::new("rustc").args(["--edition", "2024", "-o"]).arg(&program).arg(source).output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    program
}

/// What the script says of a package: the commit, and the paths that it has cargo watch.
fn said(program: &Path, package: &Path, given: &str) -> (String, Vec<String>) {
    let mut command = Command::new(program);
    command.env("CARGO_MANIFEST_DIR", package).env("COLTAPE_COMMIT", given).env("GIT_DIR", "/nowhere");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let commits: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("cargo:rustc-env=COLTAPE_COMMIT=")).collect();
    assert_eq!(commits.len(), 1, "{text}");
    let watched = text.lines().filter_map(|line| line.strip_prefix("cargo:rerun-if-changed=")).map(str::to_owned).collect();
    (commits[0].to_owned(), watched)
}

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git").args(["-c", "user.name=a", "-c", "user.email=a@b"]).arg("-C").arg(dir).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn package(dir: &Path) {
    fs::create_dir_all(dir.join("src")).unwrap();
    fs::create_dir_all(dir.join("scripts")).unwrap();
    for name in ["src/lib.rs", "Cargo.toml", "Cargo.lock", "README.md", "scripts/commit.rs"] {
        fs::write(dir.join(name), "\n").unwrap();
    }
}

#[test]
fn the_commit_is_that_of_the_checkout_and_says_where_it_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (program, own) = (script(folder.path()), folder.path().join("own"));
    package(&own);
    assert_eq!(said(&program, &own, "").0, "unknown", "no checkout");
    git(&own, &["init", "-q", "-b", "main"]);
    assert_eq!(said(&program, &own, "").0, "unknown", "no commit yet");
    git(&own, &["add", "."]);
    git(&own, &["commit", "-q", "-m", "first"]);
    let first = git(&own, &["rev-parse", "--short", "HEAD"]);
    let (commit, watched) = said(&program, &own, "");
    assert_eq!(commit, first);
    // A path that is not there would have cargo run the script at every build.
    assert!(watched.iter().all(|path| Path::new(path).exists()), "{watched:?}");
    let log = watched.iter().find(|path| path.ends_with("logs/HEAD")).unwrap_or_else(|| panic!("{watched:?}"));
    let before = fs::metadata(log).unwrap().len();
    fs::write(own.join("README.md"), "changed\n").unwrap();
    assert_eq!(said(&program, &own, "").0, first, "the program is not made of it");
    fs::write(own.join("src/new.rs"), "\n").unwrap();
    assert_eq!(said(&program, &own, "").0, format!("{first}-changed"), "a file that git does not know");
    git(&own, &["add", "src"]);
    git(&own, &["commit", "-q", "-m", "second"]);
    let second = git(&own, &["rev-parse", "--short", "HEAD"]);
    assert_eq!(said(&program, &own, "").0, second);
    assert!(fs::metadata(log).unwrap().len() > before, "the watched file changes when HEAD moves");
    fs::write(own.join("src/lib.rs"), "changed\n").unwrap();
    assert_eq!(said(&program, &own, "").0, format!("{second}-changed"));
    assert_eq!(said(&program, &own, "v1.2\nmore").0, "v1.2", "whoever builds it may say so");
}

#[test]
fn worktrees_packed_branches_and_folders_of_other_checkouts_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (program, own) = (script(folder.path()), folder.path().join("own"));
    package(&own);
    git(&own, &["init", "-q", "-b", "main"]);
    git(&own, &["add", "."]);
    git(&own, &["commit", "-q", "-m", "first"]);
    let first = git(&own, &["rev-parse", "--short", "HEAD"]);
    // In a worktree `.git` is a file.
    let tree = folder.path().join("tree");
    git(&own, &["worktree", "add", "-q", "-b", "other", tree.to_str().unwrap()]);
    fs::write(tree.join("src/lib.rs"), "of the worktree\n").unwrap();
    git(&tree, &["commit", "-q", "-a", "-m", "second"]);
    let second = git(&tree, &["rev-parse", "--short", "HEAD"]);
    let of_tree = said(&program, &tree, "");
    assert_eq!((of_tree.0, said(&program, &own, "").0), (second, first.clone()));
    assert!(of_tree.1.iter().any(|path| path.ends_with("worktrees/tree/logs/HEAD")), "{:?}", of_tree.1);
    // A package below another checkout is not built from that one's commit.
    let inner = own.join("vendor/coltape");
    package(&inner);
    assert_eq!(said(&program, &inner, "").0, "unknown");
    // Without a log of HEAD, the files of the branch are watched, as far as they are there.
    git(&own, &["pack-refs", "--all"]);
    fs::remove_dir_all(own.join(".git/logs")).unwrap();
    let (commit, watched) = said(&program, &own, "");
    assert_eq!(commit, first);
    assert!(watched.iter().any(|path| path.ends_with("packed-refs")) && watched.iter().all(|path| Path::new(path).exists()), "{watched:?}");
}

#[test]
fn the_program_names_the_commit_that_it_is_built_from() {
    let said = |option: &str| String::from_utf8(Command::new(env!("CARGO_BIN_EXE_coltape")).arg(option).output().unwrap().stdout).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(said("--version"), format!("coltape {version} ({})\n", env!("COLTAPE_COMMIT")));
    assert_eq!(said("-V"), format!("coltape {version}\n"));
}

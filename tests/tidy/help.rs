//! Every script says what it does, from whatever folder and by whatever name it is called.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::source::root;

fn scripts() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("scripts")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "sh")).collect();
    found.sort();
    found
}

/// Asks for the help of a script, called by this name from this folder. Gives its first line.
fn help(name: &Path, folder: &Path, option: &str) -> Result<String, String> {
    let output = Command::new("bash").arg(name).arg(option).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    match help.lines().next() {
        Some(first) if output.status.success() && said.is_empty() => Ok(first.to_owned()),
        _ => Err(format!("{} {option} in {}: {:?} {said}", name.display(), folder.display(), output.status)),
    }
}

#[test]
fn every_script_shows_its_help_from_any_folder_and_through_a_link() {
    let folder = std::env::temp_dir().join(format!("coltape-scripts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut failed = Vec::new();
    for script in scripts() {
        let text = std::fs::read_to_string(&script).unwrap();
        let first = text.lines().nth(1).unwrap().trim_start_matches("# ").to_owned();
        let script = script.canonicalize().unwrap();
        let from_root = script.strip_prefix("/").unwrap().to_owned();
        let link = folder.join(script.file_name().unwrap());
        std::os::unix::fs::symlink(&script, &link).unwrap();
        let own = Path::new("./").join(script.file_name().unwrap());
        let calls = [
            (from_root.as_path(), Path::new("/")),
            (script.as_path(), folder.as_path()),
            (own.as_path(), folder.as_path()),
            (own.as_path(), script.parent().unwrap()),
        ];
        for (name, folder) in calls {
            for option in ["-h", "--help"] {
                match help(name, folder, option) {
                    Ok(line) => assert_eq!(line, first),
                    Err(error) => failed.push(error),
                }
            }
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

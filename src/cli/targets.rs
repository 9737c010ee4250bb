//! Checks at the start that the files and folders which a command names can be used: a mistake must not come out after a day of work.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::outcome::Failure;

/// Checks that a file can be written. A file that is there stays as it is, and none is left that was not there before.
///
/// # Errors
/// [`Failure::Usage`], with the name of the option.
pub(crate) fn file(option: &str, path: &Path) -> Result<(), Failure> {
    let found = fs::metadata(path);
    if found.as_ref().is_ok_and(|found| found.file_type().is_fifo()) {
        // To open one waits for its reader.
        return Ok(());
    }
    let is_new = found.is_err();
    File::options().append(true).create(true).open(path).map_err(refused(option, path))?;
    if is_new {
        fs::remove_file(path).map_err(refused(option, path))?;
    }
    Ok(())
}

/// Checks that a folder is there or can be made, and that files can be made in it.
///
/// # Errors
/// As [`file`].
pub(crate) fn folder(option: &str, path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(refused(option, path))?;
    let probe = path.join(format!(".coltape-{}", std::process::id()));
    File::create_new(&probe).and_then(|_| fs::remove_file(&probe)).map_err(refused(option, path))
}

/// Checks that a file can be read.
///
/// # Errors
/// As [`file`].
pub(crate) fn source(option: &str, path: &Path) -> Result<(), Failure> {
    match File::open(path).and_then(|file| file.metadata()) {
        Ok(found) if found.is_dir() => Err(refused(option, path)(io::ErrorKind::IsADirectory.into())),
        opened => opened.map(|_| ()).map_err(refused(option, path)),
    }
}

fn refused<'a>(option: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Failure + 'a {
    move |error| Failure::Usage(format!("{option} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_can_be_written_is_left_as_it_was() {
        let place = tempfile::tempdir().expect("a folder");
        let (there, new) = (place.path().join("there"), place.path().join("new"));
        fs::write(&there, "kept").expect("written");
        assert!(file("--report", &there).is_ok() && file("--report", &new).is_ok() && file("--report", Path::new("/dev/null")).is_ok());
        assert_eq!(fs::read_to_string(&there).expect("read"), "kept");
        assert!(!new.exists());
        let made = place.path().join("a/b");
        assert!(folder("--record", &made).is_ok());
        assert_eq!(fs::read_dir(&made).expect("made").count(), 0, "nothing is left in it");
    }

    #[test]
    fn a_target_that_cannot_be_written_is_named_with_its_option() {
        let place = tempfile::tempdir().expect("a folder");
        let blocker = place.path().join("file");
        fs::write(&blocker, "").expect("written");
        let said = |checked: Result<(), Failure>| match checked {
            Err(Failure::Usage(text)) => text,
            other => panic!("{other:?}"),
        };
        for path in [place.path().to_owned(), place.path().join("no/such"), blocker.join("below"), "/proc/nothing".into()] {
            let text = said(file("--report", &path));
            assert!(text.starts_with("--report ") && text.contains(&path.display().to_string()), "{text}");
        }
        for path in [place.path().to_owned(), place.path().join("no/such")] {
            let text = said(source("--replay", &path));
            assert!(text.starts_with("--replay ") && text.contains(&path.display().to_string()), "{text}");
        }
        for path in [blocker.clone(), blocker.join("below"), "/proc/nothing".into(), "/sys".into()] {
            let text = said(folder("--record", &path));
            assert!(text.starts_with("--record ") && text.contains(&path.display().to_string()), "{text}");
        }
    }
}

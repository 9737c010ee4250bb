//! An archive that several data directories know of: nobody removes or replaces what another one may still need.

use std::fs;
use std::path::Path;

use super::{day, done, files, refused, run, said, tape, text};
use crate::capture::programs::{coltape, verify};
use crate::repair::tape::{copy_folder, memory_folder};

/// Makes a data directory that knows what another one knows, and has no day.
fn spare(of: &Path, at: &Path) {
    copy_folder(&of.join("_coltape"), &at.join("_coltape"));
}

#[test]
fn a_drill_in_another_directory_takes_nothing_from_the_one_that_has_archived() {
    let folder = memory_folder();
    let [data, out, copy] = ["data", "cold", "copy"].map(|name| folder.path().join(name));
    tape(&data, 3, 60);
    let whole = files(&data);
    let dates = [0, 1, 2].map(|number| day(number).to_string()).join(",");
    done("archive", &data, &["--out", text(&out), "--date", &dates, "--apply"]);
    copy_folder(&out, &copy);
    let cold = files(&out);
    for (name, archive, why) in [
        ("plain", None, "may still need"),
        ("named", Some(&out), "--archive removes nothing"),
        ("of a copy", Some(&copy), "--archive removes nothing"),
    ] {
        let new = folder.path().join(name);
        spare(&data, &new);
        let archive = archive.map(|path| ["--archive", text(path)]);
        let output = run("restore", &new, &[&["--all"][..], archive.iter().flatten().copied().collect::<Vec<_>>().as_slice()].concat());
        assert!(output.status.success(), "{name}: {}", said(&output));
        assert!(files(&new) == whole, "{name}");
        let told = said(&output);
        assert!(told.lines().any(|line| line.contains(why) && line.contains("9 dataset-days")), "{name}: {told}");
        assert!(told.contains("_coltape_archive"), "{name}: {told}");
        assert!(files(&out) == cold && files(&copy) == cold, "{name}: the archive is as it was");
        assert!(verify(&data, &[]).0, "{name}");
        assert!(verify(&new, &[]).0, "{name}");
    }
    // The directory that has archived them takes them back, and forgets them.
    let last = done("restore", &data, &["--all"]);
    assert!(last.starts_with("3 days back"), "{last}");
    assert!(files(&data) == whole);
    assert!(
        !files(&out)
            .keys()
            .any(|path| path.extension().is_some_and(|end| end == "rest" || end == "json") && path.starts_with("_coltape_archive"))
    );
}

#[test]
fn a_named_archive_keeps_the_days_of_its_own_directory_and_may_be_used_again() {
    let folder = memory_folder();
    let [data, out] = ["data", "cold"].map(|name| folder.path().join(name));
    tape(&data, 3, 60);
    let whole = files(&data);
    let args = ["--out", text(&out), "--date", &day(0).to_string(), "--apply"];
    done("archive", &data, &args);
    let cold = files(&out);
    done("restore", &data, &["--all", "--archive", text(&out)]);
    assert!(files(&out) == cold);
    assert!(files(&data) == whole);
    done("archive", &data, &args);
    done("restore", &data, &["--all"]);
    assert!(files(&data) == whole);
}

#[test]
fn a_directory_that_was_renamed_is_still_the_one_that_has_archived() {
    let folder = memory_folder();
    let [data, new, out] = ["data", "new", "cold"].map(|name| folder.path().join(name));
    tape(&data, 3, 60);
    let whole = files(&data);
    let args = ["--out", text(&out), "--date", &day(0).to_string(), "--apply"];
    done("archive", &data, &args);
    fs::rename(&data, &new).unwrap();
    let output = run("restore", &new, &["--all"]);
    assert!(output.status.success() && !said(&output).contains("may still need"), "{}", said(&output));
    assert!(files(&new) == whole);
    assert!(!out.join("_coltape_archive/BTC-USD/MD").join(format!("{}.rest", day(0))).exists());
    // It may archive there again, and be asked for by a link at its old place.
    done("archive", &new, &args);
    std::os::unix::fs::symlink(&new, &data).unwrap();
    done("restore", &data, &["--all"]);
    done("archive", &data, &args);
    fs::remove_file(&data).unwrap();
    fs::rename(&new, &data).unwrap();
    done("restore", &data, &["--all"]);
    assert!(files(&data) == whole);
}

#[test]
fn another_directory_at_the_same_path_takes_nothing() {
    let folder = memory_folder();
    let [data, away, new, out] = ["data", "away", "new", "cold"].map(|name| folder.path().join(name));
    tape(&data, 3, 60);
    let whole = files(&data);
    let args = ["--out", text(&out), "--date", &day(0).to_string(), "--apply"];
    done("archive", &data, &args);
    let cold = files(&out);
    // Its disk is not mounted, or it is on another box.
    fs::rename(&data, &away).unwrap();
    spare(&away, &data);
    let output = run("restore", &data, &["--all"]);
    assert!(output.status.success() && said(&output).contains("may still need"), "{}", said(&output));
    assert!(files(&out) == cold);
    // It does not put its own in the place of what is there, neither here nor where another box has recorded the same day.
    let told = refused("archive", &data, &args);
    assert!(told.contains("name another folder"), "{told}");
    fs::rename(&data, &new).unwrap();
    tape(&data, 3, 30);
    let told = refused("archive", &data, &args);
    assert!(told.contains("name another folder"), "{told}");
    let export = coltape().args(["export", "--data-dir"]).arg(&data).arg("--out").arg(&out).output().unwrap();
    assert!(export.status.code() == Some(1) && said(&export).contains("archived day"), "{}", said(&export));
    for (path, bytes) in cold.iter().filter(|(path, _)| path.to_string_lossy().contains(&day(0).to_string())) {
        assert_eq!(fs::read(out.join(path)).unwrap(), *bytes, "{}", path.display());
    }
    fs::remove_dir_all(&data).unwrap();
    fs::rename(&away, &data).unwrap();
    assert!(verify(&data, &[]).0);
    done("restore", &data, &["--all"]);
    assert!(files(&data) == whole);
}

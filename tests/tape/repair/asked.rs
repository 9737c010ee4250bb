//! A directory that a capture holds: it is asked, and answers.

use std::process::Stdio;
use std::sync::Arc;

use coltape::internals::store::request::{RepairAnswer, RepairRequest};
use coltape::internals::store::{DataDir, StoreOptions};

use super::tape::{await_that, coltape, market, said, sealed, stored, trades};
use crate::market::data_dir;

/// Waits for the request, as the capture that holds the directory does.
fn asked(dir: &Arc<DataDir>) -> RepairRequest {
    let mut request = None;
    await_that("a request came", || {
        request = RepairRequest::take(dir.path()).unwrap();
        request.is_some()
    });
    request.unwrap()
}

#[test]
fn the_capture_that_holds_the_directory_is_asked_and_its_answer_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    sealed(&own, &trades(&market(60)));
    sealed(&other, &trades(&market(60)));
    let dir = data_dir(&own, StoreOptions::default());
    for (whole, error, code) in [(true, None, 0), (false, None, 1), (false, Some("no such tape".to_owned()), 1)] {
        let mut command = coltape("repair");
        // A path that means something else where the capture runs.
        command.current_dir(folder.path()).args(["own", "--from", "other", "--product", "BTC-USD", "--no-rest"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let request = asked(&dir);
        assert_eq!((request.from.as_slice(), request.rest), ([other.canonicalize().unwrap()].as_slice(), false));
        assert_eq!(request.product.as_ref().map(coltape::internals::product::ProductId::as_str), Some("BTC-USD"));
        RepairAnswer { id: request.id, whole, error: error.clone(), lines: vec!["it was \"done\"".to_owned(), "so".to_owned()] }
            .write(&own)
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        match error {
            None => assert_eq!(String::from_utf8_lossy(&output.stdout), "it was \"done\"\nso\n"),
            Some(error) => assert!(said(&output).contains(&error), "{}", said(&output)),
        }
    }
    let left: Vec<_> = std::fs::read_dir(own.join("_coltape")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("repair-")), "{left:?}");
}

#[test]
fn a_holder_that_does_not_answer_is_left_with_what_was_asked_of_it_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    sealed(&own, &trades(&market(60)));
    let _dir = data_dir(&own, StoreOptions::default());
    let output = coltape("repair").arg(&own).args(["--no-rest", "--answer-wait", "300ms"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("does not take requests"), "{}", said(&output));
    assert_eq!(RepairRequest::take(&own).unwrap(), None, "taken back");
}

#[test]
fn where_the_capture_ends_before_it_answers_the_repair_is_done_here() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("own"), folder.path().join("other"));
    let whole = trades(&market(60));
    sealed(&own, &whole.iter().filter(|trade| trade.trade_id != 1007).copied().collect::<Vec<_>>());
    sealed(&other, &whole);
    let dir = data_dir(&own, StoreOptions::default());
    let child = coltape("repair")
        .arg(&own)
        .arg("--from")
        .arg(&other)
        .arg("--no-rest")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    asked(&dir);
    drop(dir);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(stored(&own).len(), whole.len());
}

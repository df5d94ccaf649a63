//! The files of the repository, for the checks that read it.
use std::path::{Path, PathBuf};

/// The repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `dir` that ends in one of `kinds`, as (path from the root, text), in order. No directory is none.
pub(crate) fn files(dir: &str, kinds: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(&root().join(dir), kinds, &mut found);
    found.sort();
    found
}

fn walk(dir: &Path, kinds: &[&str], found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "target" | "node_modules" | "__pycache__" | ".venv") {
            walk(&path, kinds, found);
        }
        let kind = path.extension().map(|kind| kind.to_string_lossy().into_owned());
        if kind.is_some_and(|kind| kinds.contains(&kind.as_str())) {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let path = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
            found.push((path, text));
        }
    }
}

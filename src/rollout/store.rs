//! Remembers decisions across restarts, so that a rollback which was decided is carried out.
//!
//! Nothing can make a hook run exactly once when the process may die at any point: between the hook's
//! work and the note that it was done there is always a moment. So the intent is written *before* the
//! hooks are called, the acknowledgement *after*, and what was intended and not acknowledged is called
//! again, with the same key.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::record::Record;

/// Keeps the last [`Record`] of a rollout.
///
/// [`FileStore`] is built in; a database's row or a ConfigMap's entry serve as well: a record is a short
/// text ([`Record`] displays and parses). It may block: it is called on a thread of its own, but for the one
/// [`load`](Self::load) when the rollout is made.
pub trait DecisionStore: Send + Sync + 'static {
    /// The last record that was saved; `None` if there never was one.
    ///
    /// # Errors
    /// That it can't be read: the rollout then begins idle, the canary without calls, and says so.
    fn load(&self) -> io::Result<Option<Record>>;

    /// Saves a record. On return it must have reached what survives a crash, whole.
    ///
    /// # Errors
    /// That it wasn't saved. Hooks are called all the same: a rollback is worth more than its note.
    fn save(&self, record: &Record) -> io::Result<()>;
}

/// Keeps the record in one file.
///
/// A new record is written beside it, synced, and renamed over it, and the folder is synced: whenever the
/// power goes, there is the old record or the new one, and never a half. One file belongs to one rollout
/// of one process.
///
/// ```no_run
/// use seawall::rollout::{FileStore, RolloutConfig};
///
/// let config = RolloutConfig::new("payments").store(FileStore::new("/var/lib/checkout/rollout"));
/// ```
#[derive(Clone, Debug)]
pub struct FileStore {
    path: PathBuf,
}

impl FileStore {
    /// In the file at `path`; its folder must exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl DecisionStore for FileStore {
    fn load(&self) -> io::Result<Option<Record>> {
        match fs::read_to_string(&self.path) {
            Ok(text) => match text.parse() {
                Ok(record) => Ok(Some(record)),
                Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn save(&self, record: &Record) -> io::Result<()> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let mut file = File::create(&beside)?;
        file.write_all(record.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        sync_folder(&self.path)
    }
}

/// The name is in the folder, and must survive as well.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Elsewhere a folder can't be opened; there the rename is all there is.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

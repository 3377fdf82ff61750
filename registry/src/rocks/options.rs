//! RocksDB set up for little data that matters: megabytes, not gigabytes, and never a doubt about it.

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, LogLevel,
    Options,
};

use crate::schema::Family;

/// One memtable of one family; heads and records are a kilobyte, manifests rarely more than this.
const WRITE_BUFFER_LEN_MAX: usize = 2 * 1024 * 1024;
/// All memtables together: what a household notices least.
const WRITE_BUFFERS_LEN_MAX: usize = 16 * 1024 * 1024;
/// Bounds the log that has to be replayed on open to well under a second.
const WAL_LEN_MAX: u64 = 32 * 1024 * 1024;
/// Shared by all families; the machine keeps its facts in memory itself.
const BLOCK_CACHE_LEN: usize = 8 * 1024 * 1024;
/// RocksDB's own diary, for the day something goes wrong.
const DIARY_LEN_MAX: usize = 1024 * 1024;
/// The present diary and the one before.
const DIARIES_MAX: usize = 2;
/// The list of live files; rewritten when it grows beyond this.
const MANIFEST_LEN_MAX: usize = 1024 * 1024;
/// Space taken for that list at once; by default it is more than everything else here.
const MANIFEST_STEP_LEN: usize = 64 * 1024;
/// Leaves most file descriptors of a typical limit of 1,024 to sockets and blobs.
const OPEN_FILES_MAX: i32 = 128;
/// One flush and one compaction at a time: the processor belongs to the user.
const BACKGROUND_JOBS_MAX: i32 = 2;

/// Options of the database.
pub(super) fn database() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    // A log that is cut off in its last record is a crash; anything else is damage, not to be skipped.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_background_jobs(BACKGROUND_JOBS_MAX);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_db_write_buffer_size(WRITE_BUFFERS_LEN_MAX);
    options.set_max_total_wal_size(WAL_LEN_MAX);
    options.set_max_manifest_file_size(MANIFEST_LEN_MAX);
    options.set_manifest_preallocation_size(MANIFEST_STEP_LEN);
    options.set_keep_log_file_num(DIARIES_MAX);
    options.set_max_log_file_size(DIARY_LEN_MAX);
    options.set_log_level(LogLevel::Warn);
    options.set_stats_dump_period_sec(0);
    options
}

/// Every family with its options.
pub(super) fn families() -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(BLOCK_CACHE_LEN);
    Family::ALL
        .map(|family| {
            let mut blocks = BlockBasedOptions::default();
            blocks.set_block_cache(&cache);
            let mut options = Options::default();
            options.set_block_based_table_factory(&blocks);
            options.set_write_buffer_size(WRITE_BUFFER_LEN_MAX);
            options.set_compression_type(DBCompressionType::Lz4);
            ColumnFamilyDescriptor::new(family.name(), options)
        })
        .into()
}

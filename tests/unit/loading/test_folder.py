import errno
import os
import shutil
import subprocess
import tempfile

import pytest

from amago.core.errors import ConfigError
from amago.loading import DiskTrajDataset

NOBODY = 65534


def test_a_path_that_is_a_file_is_an_error_that_names_it(tmp_path):
    (tmp_path / "d").write_text("not a directory")
    with pytest.raises(ConfigError, match=r"d/buffer/fifo \(Not a directory\).*another dset_root"):
        DiskTrajDataset(str(tmp_path), "d", 10)


def test_a_directory_that_went_away_is_an_error_before_anything_is_read(make_disk):
    dset = make_disk([6])
    shutil.rmtree(dset.protected_path)
    with pytest.raises(ConfigError, match=r"cannot list .*protected.*the disk is mounted"):
        dset.configure(8, 5, "none", has_edit_rights=False)


@pytest.fixture
def as_nobody():
    """For root, to whom modes of directories mean nothing, the rest of the test runs as nobody."""
    root = tempfile.mkdtemp()
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(root, NOBODY, NOBODY)
        try:
            os.seteuid(NOBODY)
        except OSError:
            shutil.rmtree(root)
            pytest.skip("this sandbox has no user but root: modes of directories mean nothing")
    yield root
    if is_root:
        os.seteuid(0)
    subprocess.run(["chmod", "-R", "u+rwX", root], check=True)
    shutil.rmtree(root)


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o222])
def test_a_directory_that_may_not_be_read_is_an_error(as_nobody, mode):
    dset = DiskTrajDataset(as_nobody, "d", 10)
    os.chmod(dset.fifo_path, mode)
    with pytest.raises(ConfigError, match=r"cannot list .*fifo \(Permission denied\)"):
        dset.configure(8, 5, "none", has_edit_rights=False)


def test_a_directory_that_may_not_be_made_is_an_error(as_nobody):
    os.chmod(as_nobody, 0o555)
    with pytest.raises(ConfigError, match=r"cannot make .*fifo \(Permission denied\)"):
        DiskTrajDataset(as_nobody, "d", 10)


def test_a_read_only_directory_is_an_error_for_who_evicts_or_collects(as_nobody, experiment):
    dset = DiskTrajDataset(as_nobody, "d", 10)
    os.chmod(dset.fifo_path, 0o555)
    dset.configure(8, 5, "none", has_edit_rights=False)
    with pytest.raises(ConfigError, match=r"cannot write .*has_dset_edit_rights=False.*fifo"):
        dset.configure(8, 5, "none", has_edit_rights=True)
    experiment.has_dset_edit_rights = False
    dset.configure_from_experiment(experiment)
    experiment.train_timesteps_per_epoch = 10
    with pytest.raises(ConfigError, match="cannot write"):
        dset.configure_from_experiment(experiment)


def test_a_full_disk_is_no_error_at_the_start(make_disk, monkeypatch):
    dset = make_disk([6])
    monkeypatch.setattr(os, "open", lambda *args: full_disk())
    dset.configure(8, 5, "none", has_edit_rights=True)
    monkeypatch.setattr(os, "open", lambda *args: read_only_disk())
    with pytest.raises(ConfigError, match="Read-only file system"):
        dset.configure(8, 5, "none", has_edit_rights=True)


def full_disk():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_only_disk():
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_trying_to_write_leaves_nothing(make_disk):
    assert os.listdir(make_disk([]).fifo_path) == []

package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// powerDisk is a file system that loses, when its power is cut, all that nobody has synced.
//
// Killing a process loses nothing, because the kernel keeps what was written and brings it to the disk later. And copying
// the image of a mounted file system while it is written gives a mixture of many moments, which no power cut leaves.
// So the file system under test, an ext4 in an image, lies on a second ext4, which is the disk:
//
//	data/       ext4 under test; its page cache is the machine's memory
//	disk.image  its image, a file in disk/
//	disk/       ext4 that plays the disk; its page cache is the cache within a disk, which a flush empties
//	ram/        a tmpfs that holds the image of the disk: the platters
//
// The cut is ext4's own: FS_IOC_SHUTDOWN without flushing stops the disk between two of its writes. What lies in either
// page cache is lost, unless the kernel wrote it back of its own accord before, page by page in an order of its own.
// From then on syncs fail, so that whatever is still answered is answered by somebody who does not look.
// That this disk does lose data is held by TestPowerDiskLosesWhatIsNotSynced, and of a whole server by the control of
// TestDrillPowerCut.
type powerDisk struct{ ram, disk, data string }

// The image is smaller than the disk, and the disk smaller than the memory it lies in. All are sparse.
const (
	powerDataSize = 512 << 20
	powerDiskSize = 640 << 20
	powerRAMSize  = "720m"
)

// flushNothing is EXT4_GOING_FLAGS_NOLOGFLUSH, and shutdown the FS_IOC_SHUTDOWN that takes it (linux/fs.h).
const (
	shutdown     = 0x8004587d
	flushNothing = 2
)

// newPowerDisk makes a disk with an empty file system, or skips the test where the machine does not let us.
func newPowerDisk(t *testing.T) *powerDisk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("cutting the power of a file system takes root, to mount it")
	}
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skip("cutting the power of a file system takes mkfs.ext4, of the package e2fsprogs")
	}
	dir := t.TempDir()
	d := &powerDisk{filepath.Join(dir, "ram"), filepath.Join(dir, "disk"), filepath.Join(dir, "data")}
	for _, point := range []string{d.ram, d.disk, d.data} {
		if err := os.Mkdir(point, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d.unmountInTheEnd(t)
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+powerRAMSize, "tmpfs", d.ram).CombinedOutput(); err != nil {
		t.Skipf("this machine does not let us mount: %s", out)
	}
	format(t, d.diskImage(), powerDiskSize)
	if out, err := mountImage(d.diskImage(), d.disk); err != nil {
		t.Skipf("this machine does not let us mount an image: %s", out)
	}
	format(t, d.dataImage(), powerDataSize)
	if out, err := mountImage(d.dataImage(), d.data); err != nil {
		t.Fatalf("mount %s: %s", d.dataImage(), out)
	}
	d.sync(t)
	return d
}

func (d *powerDisk) diskImage() string { return filepath.Join(d.ram, "platters.image") }
func (d *powerDisk) dataImage() string { return filepath.Join(d.disk, "disk.image") }

// unmountInTheEnd starts a process that unmounts everything when the test is over. It notices by its standard input, and
// so does it after a panic, a timeout or a kill of the tests, too. The loop devices go with their mounts.
func (d *powerDisk) unmountInTheEnd(t *testing.T) {
	t.Helper()
	keeper := exec.Command("sh", "-c", `trap "" HUP INT TERM; cat; umount -l "$@" 2>/dev/null`, "sh", d.data, d.disk, d.ram)
	end, err := keeper.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := keeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = end.Close()
		_ = keeper.Wait() // not all were mounted, if the test was skipped
	})
}

// sync brings to the platters all there is on both file systems.
func (d *powerDisk) sync(t *testing.T) {
	t.Helper()
	for _, point := range []string{d.data, d.disk} {
		if err := onFolder(point, unix.Syncfs); err != nil {
			t.Fatalf("sync %s: %v", point, err)
		}
	}
}

// cut cuts the power: from now on nothing reaches the platters.
func (d *powerDisk) cut(t *testing.T) {
	t.Helper()
	err := onFolder(d.disk, func(fd int) error { return unix.IoctlSetPointerInt(fd, shutdown, flushNothing) })
	if errors.Is(err, unix.ENOTTY) {
		t.Skip("this kernel cannot shut down an ext4")
	}
	if err != nil {
		t.Fatalf("cut the power of %s: %v", d.disk, err)
	}
}

// restore gives the power back: both caches are gone, and both file systems recover from what is on the platters. Whoever
// had files open on the disk must have ended.
func (d *powerDisk) restore(t *testing.T) {
	t.Helper()
	unmount(t, d.data)
	unmount(t, d.disk)
	for _, m := range [][2]string{{d.diskImage(), d.disk}, {d.dataImage(), d.data}} {
		if out, err := mountImage(m[0], m[1]); err != nil {
			t.Fatalf("mount %s after a cut: %s", m[0], out)
		}
	}
}

// onFolder calls f with a descriptor of a folder.
func onFolder(name string, f func(fd int) error) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f(int(dir.Fd())), dir.Close())
}

// format makes an ext4 with blocks of 4 KiB in a new file.
func format(t *testing.T, name string, size int64) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-b", "4096", name).CombinedOutput(); err != nil {
		t.Fatalf("format %s: %v\n%s", name, err, out)
	}
}

// mountImage mounts an image by a loop device, which goes when it is unmounted.
func mountImage(image, point string) (message []byte, err error) {
	return exec.Command("mount", "-t", "ext4", "-o", "loop", image, point).CombinedOutput()
}

// unmount unmounts, for which a loop device that is still being let go may have to be waited for.
func unmount(t *testing.T, point string) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		out, err := exec.Command("umount", point).CombinedOutput()
		if err == nil {
			return
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("unmount %s: %s", point, out)
		}
	}
}

// TestPowerDiskLosesWhatIsNotSynced holds that the disk of the drill is as bad as it says.
func TestPowerDiskLosesWhatIsNotSynced(t *testing.T) {
	d := newPowerDisk(t)
	old, young := []byte("old"), []byte("new")
	paths := map[string]string{}
	for _, name := range []string{"synced", "written", "written back"} {
		paths[name] = filepath.Join(d.data, name)
		overwrite(t, paths[name], old, (*os.File).Sync)
	}
	overwrite(t, paths["synced"], young, (*os.File).Sync)
	overwrite(t, paths["written"], young, func(*os.File) error { return nil })
	overwrite(t, paths["written back"], young, func(f *os.File) error { // to the disk, but not out of its cache
		return unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
	})
	d.cut(t)
	late, err := os.OpenFile(paths["synced"], os.O_WRONLY, 0)
	if err == nil {
		_, _ = late.Write([]byte("late")) // into the page cache, where there is room
		err = errors.Join(late.Sync(), late.Close())
	}
	if !errors.Is(err, unix.EIO) {
		t.Errorf("a sync after the cut: %v, want an I/O error", err)
	}
	d.restore(t)
	for name, want := range map[string][]byte{"synced": young, "written": old, "written back": old} {
		if got, err := os.ReadFile(paths[name]); err != nil || string(got) != string(want) {
			t.Errorf("what was only %s is %q after the cut, %v; want %q", name, got, err, want)
		}
	}
}

// overwrite writes text at the start of a file.
func overwrite(t *testing.T, name string, text []byte, sync func(*os.File) error) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, sync(f), f.Close()); err != nil {
		t.Fatal(err)
	}
}

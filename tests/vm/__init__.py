"""Virtual machines with kernels of their own: Debian 12 and 13 under QEMU, for what containers cannot prove."""

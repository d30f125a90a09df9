/* Numbers in files of /proc. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <check.h>

#include "base/setting.h"
#include "suite.h"

AREA(setting, "setting");

static char path[] = "/tmp/fastsocket-setting-XXXXXX";

static void writeFile(const char* text)
{
    int handle = mkstemp(path);
    ck_assert_int_ge(handle, 0);
    ck_assert_int_eq(dprintf(handle, "%s", text), (int)__builtin_strlen(text));
    close(handle);
}

/* §3.2 create error of a refusal: what stands in the file */
CASE(setting, readsNumbers)
{
    writeFile("2\nOther:\t7\nSeccomp:\t1\nNone:\tword\nLast:-3");
    ck_assert_int_eq(FastSettingRead(path, NULL, -9), 2);
    ck_assert_int_eq(FastSettingRead(path, "Other:", -9), 7);
    ck_assert_int_eq(FastSettingRead(path, "Seccomp:", -9), 1);
    ck_assert_int_eq(FastSettingRead(path, "Last:", -9), -3);
    ck_assert_int_eq(FastSettingRead(path, "ther:", -9), -9);
    ck_assert_int_eq(FastSettingRead(path, "None:", -9), -9);
    ck_assert_int_eq(FastSettingRead(path, "Missing:", -9), -9);
    unlink(path);
    ck_assert_int_eq(FastSettingRead(path, NULL, -9), -9);
}

CASE(setting, readsNothing)
{
    writeFile("");
    ck_assert_int_eq(FastSettingRead(path, NULL, -9), -9);
    ck_assert_int_eq(FastSettingRead(path, "Word:", -9), -9);
    unlink(path);
}

CASE(setting, readsProc)
{
    ck_assert_int_gt(FastSettingRead("/proc/self/status", "Pid:", 0), 0);
    ck_assert_int_gt(FastSettingRead("/proc/sys/fs/file-max", NULL, 0), 0);
}

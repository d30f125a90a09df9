/*
 * What the system says of itself and of this process in files of /proc.
 */
#ifndef FASTSOCKET_BASE_SETTING_H
#define FASTSOCKET_BASE_SETTING_H

#include <stdint.h>

/* The number behind a word at the beginning of a line; the word NULL: at the beginning of the file.
 * missing, if there is none, or the file can't be read. Allocates nothing. */
int64_t FastSettingRead(const char* path, const char* word, int64_t missing);

#endif

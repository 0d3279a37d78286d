/* SPDX-License-Identifier: MIT */
#pragma once

#include "util/bytes.h"

/*
 * Puts the content in the place of the file, whole or not at all: it is written to a new file of the same
 * directory (mode 0644), synchronised, and renamed over. Nothing is left behind when that fails. Return:
 * CTL_OK; CTL_FAILED after saying why.
 */
int file_replace(const char *path, struct bytes content);

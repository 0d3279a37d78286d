/* SPDX-License-Identifier: MIT */
/*
 * A main for a fuzz harness without a fuzzer: every file of the directories given is one input. REPLAY_CORPUS
 * is the directory of a harness, for a call without arguments.
 */

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One file, in memory that ends where it ends. Return: whether all of it could be read. */
static bool replay_file(const char *path)
{
        struct stat st;
        FILE *f = fopen(path, "rb");
        uint8_t *data;
        size_t n;

        if (!f || fstat(fileno(f), &st) < 0 || !(data = malloc((size_t)st.st_size + !st.st_size))) {
                perror(path);
                exit(EXIT_FAILURE);
        }
        n = fread(data, 1, (size_t)st.st_size, f);
        fclose(f);
        LLVMFuzzerTestOneInput(data, n);
        free(data);
        return n == (size_t)st.st_size;
}

static unsigned replay_directory(const char *path)
{
        char file[4096];
        struct dirent *entry;
        unsigned n = 0;
        DIR *dir = opendir(path);

        if (!dir) {
                perror(path);
                exit(EXIT_FAILURE);
        }
        while ((entry = readdir(dir))) {
                if (entry->d_name[0] == '.')
                        continue;
                snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
                if (!replay_file(file)) {
                        fprintf(stderr, "%s: short read\n", file);
                        exit(EXIT_FAILURE);
                }
                n++;
        }
        closedir(dir);
        return n;
}

int main(int argc, char **argv)
{
        unsigned n = 0;

        for (int i = 1; i < argc; i++)
                n += replay_directory(argv[i]);
        if (argc < 2)
                n = replay_directory(REPLAY_CORPUS);
        printf("%u inputs\n", n);
        return n ? EXIT_SUCCESS : EXIT_FAILURE;
}

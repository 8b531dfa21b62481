/* A WAV file to words, by the export of a network (steps_py/export_nnet3.sh) and libvosk.so, in C.
 *
 *   vosk=$(python3 -c 'import importlib.util as u; print(u.find_spec("vosk").submodule_search_locations[0])')
 *   cc -O2 -o transcribe transcribe.c "$vosk/libvosk.so" -Wl,-rpath,"$vosk"
 *   ./transcribe exp/mini/hdnn-h128l10_online/export recording.wav
 *
 * The words go to stdout, a line for each piece of speech; what was needed goes to stderr.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* What is used of vosk_api.h, which Vosk's wheel does not carry. */
typedef struct VoskModel VoskModel;
typedef struct VoskRecognizer VoskRecognizer;
void vosk_set_log_level(int level);
VoskModel *vosk_model_new(const char *directory);
void vosk_model_free(VoskModel *model);
VoskRecognizer *vosk_recognizer_new(VoskModel *model, float rate);
void vosk_recognizer_free(VoskRecognizer *recognizer);
int vosk_recognizer_accept_waveform_s(VoskRecognizer *recognizer, const short *samples, int count);
const char *vosk_recognizer_result(VoskRecognizer *recognizer);
const char *vosk_recognizer_final_result(VoskRecognizer *recognizer);

static void fail(const char *file, const char *why) {
  fprintf(stderr, "transcribe: %s: %s\n", file, why);
  exit(1);
}

/* Go to the samples of a WAV file of one channel and 16 bits; gives its sample rate. */
static int open_wav(FILE *wav, const char *name) {
  unsigned char head[12], chunk[8], format[16];
  int rate = 0;
  if (fread(head, 1, 12, wav) != 12 || memcmp(head, "RIFF", 4) || memcmp(head + 8, "WAVE", 4)) fail(name, "is no WAV file");
  while (fread(chunk, 1, 8, wav) == 8) {
    uint32_t size = chunk[4] | chunk[5] << 8 | chunk[6] << 16 | (uint32_t)chunk[7] << 24;
    if (!memcmp(chunk, "data", 4)) {
      if (!rate) fail(name, "has samples before it says what they are");
      return rate;
    }
    if (!memcmp(chunk, "fmt ", 4) && size >= 16) {
      if (fread(format, 1, 16, wav) != 16) break;
      if (format[0] != 1 || format[2] != 1 || format[14] != 16) fail(name, "must have one channel of 16-bit samples");
      rate = format[4] | format[5] << 8 | format[6] << 16;
      size -= 16;
    }
    fseek(wav, size + size % 2, SEEK_CUR);
  }
  fail(name, "ends before its samples");
  return 0;
}

/* Print what stands behind "text" in Vosk's JSON. */
static void print_text(const char *json) {
  const char *text = strstr(json, "\"text\" : \"");
  if (!text) return;
  text += strlen("\"text\" : \"");
  size_t length = strcspn(text, "\"");
  if (length) printf("%.*s\n", (int)length, text);
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: transcribe EXPORT-DIR RECORDING.wav\n");
    return 1;
  }
  FILE *wav = fopen(argv[2], "rb");
  if (!wav) fail(argv[2], "cannot be opened");
  int rate = open_wav(wav, argv[2]);
  vosk_set_log_level(-1);
  VoskModel *model = vosk_model_new(argv[1]);
  if (!model) fail(argv[1], "is no model directory of Vosk");
  VoskRecognizer *recognizer = vosk_recognizer_new(model, (float)rate);
  short samples[3200];
  size_t count, all = 0;
  while ((count = fread(samples, 2, sizeof samples / 2, wav)) > 0) {
    all += count;
    if (vosk_recognizer_accept_waveform_s(recognizer, samples, (int)count)) print_text(vosk_recognizer_result(recognizer));
  }
  print_text(vosk_recognizer_final_result(recognizer));
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  double busy = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
  fprintf(stderr, "%.2f s of audio, %.2f s of processor time with loading, %ld kB at most\n", (double)all / rate, busy,
          used.ru_maxrss);
  vosk_recognizer_free(recognizer);
  vosk_model_free(model);
  fclose(wav);
  return 0;
}

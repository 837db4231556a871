import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { notesServer } from './notes_server.ts';

serveStdio(notesServer);

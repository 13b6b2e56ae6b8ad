"""How often each fault was there, since when and until when."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('station', '0018_dimming_interventions'),
    ]

    operations = [
        migrations.CreateModel(
            name='FaultMemory',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveSmallIntegerField()),
                ('code', models.CharField(max_length=50)),
                ('first_at', models.DateTimeField()),
                ('since', models.DateTimeField()),
                ('until', models.DateTimeField(blank=True, null=True)),
                ('count', models.PositiveIntegerField(default=0)),
            ],
            options={
                'verbose_name': 'fault memory entry',
                'verbose_name_plural': 'fault memory',
                'constraints': [models.UniqueConstraint(fields=('number', 'code'), name='one_memory_per_fault')],
            },
        ),
    ]
